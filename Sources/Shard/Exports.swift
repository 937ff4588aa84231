// What a program names beside this module's own types: sockets, errors, addresses, instants.
@_exported import struct InetSocket.ReceivedMessage
@_exported import NetNamespace
@_exported import Timers
@_exported import Wire
