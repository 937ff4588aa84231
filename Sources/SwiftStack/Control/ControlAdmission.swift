/// Who may have a conversation: a bounded number at once, and a bounded number of them for one user. Some places beyond
/// both are kept for who wants to stop the stack or look what it is, however many others sit there.
struct ControlAdmission {
  struct Limits: Sendable {
    var most = 512
    var mostPerUser = 256
    var reserved = 16

    init(most: Int = 512, mostPerUser: Int = 256, reserved: Int = 16) {
      self.most = most
      self.mostPerUser = mostPerUser
      self.reserved = reserved
    }

    /// No more than a quarter of the descriptors that the process may have, for a conversation may take two more; a
    /// sixteenth for those in reserve.
    init(descriptors: Int) {
      self.init()
      most = max(4, min(most, descriptors / 4))
      mostPerUser = max(4, min(mostPerUser, descriptors / 8))
      reserved = max(2, min(reserved, descriptors / 16))
    }
  }
  enum Place: Equatable, Sendable {
    case full
    /// Only `down` and `describe`.
    case reserved
  }

  let limits: Limits
  private var perUser: [UInt32: Int] = [:]
  private var full = 0
  private var reserved = 0

  init(_ limits: Limits = Limits()) { self.limits = limits }

  var count: Int { full + reserved }

  /// A place for a client of that user; `nil`: there is none.
  mutating func admit(user: UInt32) -> Place? {
    let own = perUser[user, default: 0]
    if full < limits.most, own < limits.mostPerUser {
      full += 1
      perUser[user] = own + 1
      return .full
    }
    guard reserved < limits.reserved else { return nil }
    reserved += 1
    return .reserved
  }

  mutating func leave(_ place: Place, user: UInt32) {
    guard place == .full else {
      reserved -= 1
      return
    }
    full -= 1
    let own = perUser[user, default: 0] - 1
    perUser[user] = own > 0 ? own : nil
  }
}
