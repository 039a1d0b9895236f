package durable

// step is called after each step that a crash may come after. Tests set it.
var step = func(name string) {}
