import Glibc

/// Why a TAP cannot be had, in words for the person who asked for it.
enum TapConflict {
  private static let create = "open the TAP"

  /// /dev/net/tun does not open.
  static func openError(_ code: Int32) -> LinuxError {
    switch code {
    case ENOENT, ENODEV, ENXIO:
      LinuxError(
        code, "open", TapDevice.path,
        advice: "The kernel's TUN/TAP driver is missing: load it with \"modprobe tun\", "
          + "or in a container pass the device in (--device \(TapDevice.path)).")
    case EACCES, EPERM:
      LinuxError(code, "open", TapDevice.path, advice: "Run it as root (sudo).")
    default:
      LinuxError(code, "open", TapDevice.path)
    }
  }

  /// TUNSETIFF was refused.
  static func attachError(_ code: Int32, _ name: InterfaceName) -> LinuxError {
    switch code {
    case EPERM, EACCES:
      Privileges.missingNetworkAdmin(create, name.text)
    case EBUSY:
      LinuxError(
        code, create, name.text, reason: "another program is using it",
        advice: "Stop that program first, or choose another name.")
    case EINVAL:
      LinuxError(
        code, create, name.text, reason: "the kernel does not accept it with these settings",
        advice: "If the interface exists, remove it with \"ip link delete \(name)\" or choose another name.")
    case E2BIG:
      LinuxError(code, create, name.text, reason: "it has no room for more queues")
    default:
      LinuxError(code, create, name.text)
    }
  }

  /// Throws unless the existing interface can be attached to.
  static func check(_ link: LinkDescription, against configuration: TapConfiguration) throws(LinuxError) {
    let name = link.name.text
    guard let tun = link.tun, tun.isTap else {
      let kind = link.tun != nil ? "a TUN (IP packets, not Ethernet frames)" : link.kind.map { "a \($0)" }
      throw LinuxError(
        EINVAL, create, name,
        reason: "an interface of that name exists and is not a TAP" + (kind.map { " but \($0)" } ?? ""),
        advice: "Choose another name.")
    }
    // Without persistence it lives only because somebody holds it open.
    let isHeld = !tun.isPersistent || (tun.queueCount ?? 0) > 0
    if isHeld { throw attachError(EBUSY, link.name) }
    if configuration.existing == .refuse {
      throw LinuxError(
        EEXIST, create, name, reason: "an interface of that name exists",
        advice: "Remove it with \"ip link delete \(name)\" or choose another name.")
    }
    if tun.isMultiQueue != (configuration.queueCount > 1) {
      throw LinuxError(
        EINVAL, create, name,
        reason: tun.isMultiQueue
          ? "the existing TAP was made with several queues and one was asked for"
          : "the existing TAP was made with one queue and \(configuration.queueCount) were asked for",
        advice:
          "Make it again with \"ip tuntap add mode tap\(tun.isMultiQueue ? "" : " multi_queue") \(name)\", "
          + "or remove it and let it be created.")
    }
  }
}
