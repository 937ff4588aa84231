/// Who may have a conversation: a bounded number at once, and a bounded number of them for one user. Some places beyond
/// both are kept for who wants to stop the stack or look what it is, however many others sit there.
package struct ControlAdmission {
  package struct Limits: Sendable {
    package var most = 512
    package var mostPerUser = 256
    package var reserved = 16

    package init(most: Int = 512, mostPerUser: Int = 256, reserved: Int = 16) {
      self.most = most
      self.mostPerUser = mostPerUser
      self.reserved = reserved
    }

    /// No more than a quarter of the descriptors that the process may have, for a conversation may take two more; a
    /// sixteenth for those in reserve.
    package init(descriptors: Int) {
      self.init()
      most = max(4, min(most, descriptors / 4))
      mostPerUser = max(4, min(mostPerUser, descriptors / 8))
      reserved = max(2, min(reserved, descriptors / 16))
    }
  }
  package enum Place: Equatable, Sendable {
    case full
    /// Only `down` and `describe`.
    case reserved
  }

  package let limits: Limits
  private var perUser: [UInt32: Int] = [:]
  private var full = 0
  private var reserved = 0

  package init(_ limits: Limits = Limits()) { self.limits = limits }

  package var count: Int { full + reserved }

  /// A place for a client of that user; `nil`: there is none.
  package mutating func admit(user: UInt32) -> Place? {
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

  package mutating func leave(_ place: Place, user: UInt32) {
    guard place == .full else {
      reserved -= 1
      return
    }
    full -= 1
    let own = perUser[user, default: 0] - 1
    perUser[user] = own > 0 ? own : nil
  }
}
