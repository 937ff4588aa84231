import NetNamespace

/// What one of the two protocols counts. Linux: `UDP_INC_STATS()` with `is_udplite`.
struct UDPCounters: Sendable {
  let inDatagrams: NetCounters.Name
  let noPorts: NetCounters.Name
  let inErrors: NetCounters.Name
  let outDatagrams: NetCounters.Name
  let rcvbufErrors: NetCounters.Name
  let sndbufErrors: NetCounters.Name
  let inCsumErrors: NetCounters.Name
  let ignoredMulti: NetCounters.Name
  let memErrors: NetCounters.Name

  init(isLite: Bool) {
    inDatagrams = isLite ? .UdpLiteInDatagrams : .UdpInDatagrams
    noPorts = isLite ? .UdpLiteNoPorts : .UdpNoPorts
    inErrors = isLite ? .UdpLiteInErrors : .UdpInErrors
    outDatagrams = isLite ? .UdpLiteOutDatagrams : .UdpOutDatagrams
    rcvbufErrors = isLite ? .UdpLiteRcvbufErrors : .UdpRcvbufErrors
    sndbufErrors = isLite ? .UdpLiteSndbufErrors : .UdpSndbufErrors
    inCsumErrors = isLite ? .UdpLiteInCsumErrors : .UdpInCsumErrors
    ignoredMulti = isLite ? .UdpLiteIgnoredMulti : .UdpIgnoredMulti
    memErrors = isLite ? .UdpLiteMemErrors : .UdpMemErrors
  }
}
