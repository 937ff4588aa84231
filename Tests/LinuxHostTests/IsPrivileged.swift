import Foundation
import LinuxHost

/// Whether TAPs and namespaces can be made here.
let isPrivileged =
  geteuid() == 0 && (try? Privileges.hasNetworkAdmin()) == true
  && FileManager.default.fileExists(atPath: "/dev/net/tun")
