#!/bin/sh
# Installs the peers of the side-by-side measurement from Debian: HAProxy,
# nginx with its mail proxy, and Postfix's smtp-source; and strace, which counts
# system calls. Needs root. None of their services is started: while this runs, a
# policy forbids it.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
apt-get update -qq
apt-get install -y -qq --no-install-recommends haproxy nginx libnginx-mod-mail postfix strace
