# Boots the system of this machine once more, beside itself: `sh boot.sh ROOM TEU` has systemd be the first process of namespaces and a cgroup of its own,
# over a root that is this machine's, to read. Settings, what is kept and what runs are its own, and gone with it. ROOM has the units, and is /mnt in there.
# What ended it says the exit code; 77: that cannot be had here, and why.
set -eu
room=$1 teu=$2 part=${3-outside}
new=$room/root

cannot() {
  echo "$*"
  exit 77
}

if [ "$part" = outside ]; then
  above=$(findmnt --noheadings --types cgroup2 --output TARGET | head -n 1)
  [ -n "$above" ] || cannot "there are no cgroups of version 2 here"
  above=$above$(sed -n 's/^0:://p' /proc/self/cgroup)
  own=$above/teu-unit-$$
  mkdir "$own" && echo $$ >"$own/cgroup.procs" || cannot "no cgroup can be made here"
  code=0
  unshare --mount --propagation private --pid --fork --kill-child --cgroup --uts --ipc --net sh "$0" "$room" "$teu" inside || code=$?
  echo $$ >"$above/cgroup.procs"
  find "$own" -depth -type d -exec rmdir {} \;
  exit $code
fi

mkdir "$new"
mount --bind / "$new" || cannot "mounts cannot be made here"
mount -o remount,bind,ro "$new"
[ -x "$new/usr/lib/systemd/systemd" ] || cannot "there is no systemd in the root of this machine"
for own in run tmp var etc dev usr/local/bin; do
  mount -t tmpfs -o mode=755 tmpfs "$new/$own"
done
mount -t proc proc "$new/proc" && mount -t sysfs -o ro sysfs "$new/sys" || cannot "/proc and /sys cannot be mounted here"
mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup" || cannot "cgroups cannot be mounted here"
for device in null zero full random urandom tty; do
  touch "$new/dev/$device"
  mount --bind "/dev/$device" "$new/dev/$device"
done
mkdir "$new/dev/shm" "$new/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$new/dev/pts"
ln -s pts/ptmx "$new/dev/ptmx"
chmod 1777 "$new/tmp" "$new/dev/shm"

# What else this machine starts is not started.
cp -a /etc/. "$new/etc"
rm -rf "$new"/etc/systemd/system "$new"/etc/rc?.d "$new"/etc/fstab "$new"/etc/teu
mkdir "$new/etc/systemd/system"
cp "$room"/*.service "$room"/*.target "$new/etc/systemd/system"
mkdir "$new/var/tmp" "$new/var/lib" "$new/var/log"
chmod 1777 "$new/var/tmp"
touch "$new/usr/local/bin/teu"
mount --bind "$teu" "$new/usr/local/bin/teu"
mount --bind "$room" "$new/mnt"

# The new root over the old one.
cd "$new"
pivot_root . .
umount --lazy .
cd /
exec env -i container=other PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd \
  --unit=try.target --show-status=no
