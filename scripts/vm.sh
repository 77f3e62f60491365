# Sourced by other scripts, after need.sh: boots a Debian for this machine's
# processor under qemu, with a kernel and a systemd of its own.

# vm_root FOLDER: makes that Debian. ROOT in the environment is one that is there.
vm_root() {
  need debootstrap debootstrap "makes a Debian to boot"
  need mkfs.ext4 e2fsprogs "its disk is a file"
  [ "$(uname -m)" = x86_64 ] || { echo "$0: knows amd64 only, this is $(uname -m)" >&2; return 1; }
  need qemu-system-x86_64 qemu-system-x86 "is the board that boots"
  [ "$(id -u)" = 0 ] || { echo "$0: only root can make a Debian below a folder" >&2; return 1; }
  if [ -n "${ROOT:-}" ]; then
    cp -a "$ROOT" "$1"
    return
  fi
  local suite mirror
  suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
  mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' "Codename: $suite" | head -n 1)}
  debootstrap --variant=minbase --include=systemd,systemd-sysv,udev,dbus,linux-image-amd64,initramfs-tools "$suite" "$1" "$mirror" >"$1.log" 2>&1 ||
    { tail -20 "$1.log"; return 1; }
}

# vm_boot FOLDER MIB SCRIPT CONSOLE: boots it with a disk of 16 GiB and that much
# memory, and has it run the script, on each boot, until it powers itself off.
vm_boot() {
  local root=$1 kvm=()
  install -m 755 "$3" "$root/booted"
  cat >"$root/etc/systemd/system/booted.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=idle
ExecStart=/booted
[Install]
WantedBy=multi-user.target
END
  ln -sf ../booted.service "$root/etc/systemd/system/multi-user.target.wants/booted.service"
  echo board >"$root/etc/hostname"
  echo '/dev/vda / ext4 errors=remount-ro 0 1' >"$root/etc/fstab"
  truncate -s 16G "$root.disk"
  mkfs.ext4 -q -F -d "$root" "$root.disk"
  [ ! -w /dev/kvm ] || kvm=(-enable-kvm)
  # qemu begins anew when the board resets itself, so one run has all boots.
  timeout 7200 qemu-system-x86_64 "${kvm[@]}" -m "$2" -smp 2 -display none -nic none -monitor none \
    -kernel "$root"/boot/vmlinuz-* -initrd "$root"/boot/initrd.img-* -append "root=/dev/vda rw console=ttyS0 quiet" \
    -drive "file=$root.disk,format=raw,if=virtio,cache=writethrough" -serial "file:$4" </dev/null || true
  rm -f "$root.disk"
}
