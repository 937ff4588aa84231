import CLinux
import Glibc

/// A reply being collected, message by message, until the kernel says it is over.
struct NetlinkReply {
  private(set) var messages: [NetlinkMessage] = []
  /// The errno of a refused request.
  private(set) var error: Int32?
  /// NLMSGERR_ATTR_MSG
  private(set) var kernelMessage: String?
  private(set) var isComplete = false
  /// NLM_F_DUMP_INTR: the dump is not a consistent picture.
  private(set) var wasInterrupted = false

  mutating func take(_ message: NetlinkMessage, flags: UInt16) {
    if Int32(flags) & NLM_F_DUMP_INTR != 0 { wasInterrupted = true }
    switch Int32(message.type) {
    case NLMSG_ERROR:
      takeVerdict(message, flags: flags)
    case NLMSG_DONE:
      isComplete = true
      if let code = message.fixedPart(as: Int32.self), code < 0 { fail(-code, message, attributesAt: 4) }
    case NLMSG_NOOP, NLMSG_OVERRUN:
      break
    default:
      messages.append(message)
    }
  }

  /// `struct nlmsgerr`: an errno, the refused request's header and, unless capped, its payload.
  private mutating func takeVerdict(_ message: NetlinkMessage, flags: UInt16) {
    isComplete = true
    guard let verdict = message.fixedPart(as: nlmsgerr.self) else {
      error = EBADMSG
      return
    }
    if verdict.error == 0 { return }
    var offset = MemoryLayout<nlmsgerr>.size
    if Int32(flags) & NLM_F_CAPPED == 0 {
      let echoed = Int(verdict.msg.nlmsg_len) - MemoryLayout<nlmsghdr>.size
      offset += (max(echoed, 0) + 3) & ~3
    }
    fail(verdict.error == .min ? EBADMSG : abs(verdict.error), message, attributesAt: offset)
  }

  private mutating func fail(_ code: Int32, _ message: NetlinkMessage, attributesAt offset: Int) {
    error = code
    let text = NetlinkAttributes(message.payload.dropFirst(offset)).string(Int(NLMSGERR_ATTR_MSG.rawValue))
    kernelMessage = text.flatMap { $0.isEmpty ? nil : $0 }
  }
}
