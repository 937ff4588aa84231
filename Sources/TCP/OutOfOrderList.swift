/// A socket's place on the list of those with an out-of-order queue.
struct OutOfOrderLink {
  var next: Int32 = -1
  var previous: Int32 = -1
  var isListed = false
}

/// The sockets with an out-of-order queue, the oldest queue first.
struct OutOfOrderList {
  var first: Int32 = -1
  var last: Int32 = -1
}
