/// The packet priority that a type of service stands for. Linux: `rt_tos2priority()`, table `ip_tos2prio`.
public enum TypeOfServicePriority {
  public static func priority(of typeOfService: UInt8) -> UInt32 {
    switch (typeOfService & 0x1E) >> 1 {
    case 0...3: 0
    case 4...7: 2
    case 8...11: 6
    default: 4
    }
  }
}
