import IPv4
import InetSocket
import Internet
import NetNamespace
import SkBuff
import TCP
import Wire

// Sends of memory that only a device reads. Linux: the parts of `tcp_sendmsg_locked()` that look at `dmabuf_id`,
// `net_devmem_get_binding()`.
extension SocketLayer {
  /// Whether a send may name device memory.
  ///
  /// - Throws: EINVAL without `MSG_ZEROCOPY` and `SO_ZEROCOPY`, or for a number that is nothing's; ENODEV when the way leads
  ///   over another device, or one that cannot take packets as they lie; EOPNOTSUPP when segments are signed, for their bytes
  ///   would have to be read; EFAULT when the bytes are not the memory's.
  mutating func admitDeviceMemory(
    _ id: SocketID, _ header: MessageHeader, _ flags: MessageFlags, _ iter: borrowing IovIter,
    host: inout Host
  ) throws(Errno) {
    guard let number = header.control.deviceMemory, number != 0 else { return }
    let (isZeroCopy, route) = try withCore(id) { (core) throws(Errno) in (core.options.zeroCopy, core.route) }
    guard flags.contains(.zeroCopy), isZeroCopy, let device = deviceMemory[number] else { throw .EINVAL }
    guard let route else { throw .ENODEV }
    guard route.interface == device,
      host.link.features(of: device).isSuperset(of: [.scatterGather, .checksum])
    else { throw .ENODEV }
    if tcp.isSigned(id) { throw .EOPNOTSUPP }
    guard iter.count == 0 || iter.isUnreadable else { throw .EFAULT }
  }
}
