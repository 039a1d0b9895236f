return {epoch}
