# Within what boot.sh booted: is the unit one that serves, is confined, outlives a crash and ends as it should? Any command that fails fails all.
set -eux
registry=docker://127.0.0.1:443/app
shows() { systemctl show --property "$1" --value teu-serve; }

# What an operator sets, and a port that others may not take.
mkdir /etc/teu
echo TEU_SERVE_LISTEN=127.0.0.1:443 >/etc/teu/serve.env
systemctl start teu-serve
until teu copy --dest-tls-verify=false oci:/mnt/images:one $registry:one; do
  fails systemctl is-failed teu-serve
done
test "$(teu digest --tls-verify=false $registry:one)" = "$(teu digest oci:/mnt/images:one)"

# As whom it runs, and what it may do.
pid=$(shows MainPID)
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$pid/status"; }
user=$(field Uid)
test "$user" -ge 61184 && test "$user" -le 65519
for capabilities in CapEff CapPrm CapBnd CapAmb; do
  test "$(field $capabilities)" = 0000000000000400
done
test "$(field NoNewPrivs) $(field Seccomp)" = "1 2"
test "$(stat -c '%a %u' /var/lib/private/teu)" = "700 $user"
test "$(stat -c %a /var/lib/private)" = 700

# What it sees, and where it writes: here even root would write nowhere else.
touch /tmp/ours
sees() { nsenter --target "$pid" --mount "$@"; }
writes() { sees --setuid "$user" --setgid "$user" touch "$1/ours"; }
fails() { if "$@"; then exit 1; fi; }
writes /var/lib/private/teu
rm /var/lib/private/teu/ours
for place in /etc/teu /var /var/lib /mnt /usr/local/bin /run /dev /root; do
  fails writes $place
done
fails sees touch /var/ours
fails sees touch /mnt/ours
for hidden in /tmp/ours /proc/sys; do
  fails sees test -e $hidden
done
test -z "$(sees ls -A /root)"

# Told to read anew it goes on; killed, it is there again with all that was acknowledged.
systemctl reload teu-serve
test "$(shows MainPID)" = "$pid"
systemctl kill --signal KILL teu-serve
until [ "$(shows NRestarts)" = 1 ]; do
  fails systemctl is-failed teu-serve
done
until teu copy --src-tls-verify=false $registry:one oci:/mnt/pulled:one; do
  fails systemctl is-failed teu-serve
done
teu verify oci:/mnt/pulled:one

# Asked to end it ends by itself, and has nothing left.
systemctl stop teu-serve
test "$(shows ActiveState) $(shows Result) $(shows ExecMainCode) $(shows ExecMainStatus)" = "inactive success 1 0"
test ! -e /var/lib/teu/uploads || test -z "$(ls -A /var/lib/teu/uploads)"
echo tried
