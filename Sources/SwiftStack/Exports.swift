// What a user of the library names beside this module's own types: addresses, errors, readiness, instants, and the few
// types of other floors that its calls take or return. One import is enough for them.
@_exported import struct Control.CounterReport
@_exported import struct Control.InterfaceReport
@_exported import struct Control.LinkCounts
@_exported import struct Control.NICReport
@_exported import struct Control.NeighbourReport
@_exported import struct Control.QdiscReport
@_exported import struct Control.RouteReport
@_exported import struct Control.RoutingRuleReport
@_exported import struct Control.SettingReport
@_exported import struct Control.SocketReport
@_exported import struct Control.TCPReport
@_exported import struct Control.TCPValue
@_exported import struct Control.TraceArgument
@_exported import struct Control.TraceReport
@_exported import struct IPv4.AddressConflict
@_exported import struct IPv4.RouteEntry
@_exported import struct IPv4.RouteSelector
@_exported import struct IPv4.RoutingRule
@_exported import enum IPv4.RoutingTableName
@_exported import struct IceModel.FaultInjection
@_exported import struct IceModel.WireFrameMetadata
@_exported import struct LinuxHost.InterfaceName
@_exported import struct LinuxHost.LinuxError
@_exported import enum NetDevice.QdiscConfiguration
@_exported import enum NetDevice.QdiscKind
@_exported import enum NetDevice.QdiscPlace
@_exported import struct NetDevice.CapturedFrame
@_exported import NetNamespace
@_exported import class Netfilter.PacketFilter
@_exported import enum Netfilter.Hook
@_exported import enum Netfilter.HookPriority
@_exported import struct Netfilter.HookVerdict
@_exported import enum Netfilter.HookRejection
@_exported import struct Netfilter.Translation
@_exported import enum Netfilter.ConnectionState
@_exported import struct Netfilter.ConnectionSnapshot
@_exported import struct Netfilter.ConnectionStatistics
@_exported import struct Netfilter.ConnectionTuple
@_exported import enum Netfilter.EgressVerdict
@_exported import protocol Netfilter.EgressClient
@_exported import protocol Netfilter.HookClient
@_exported import struct Netfilter.HookCounts
@_exported import struct Netfilter.HookPacket
@_exported import struct Netfilter.HookSet
@_exported import struct Neighbour.NeighbourState
@_exported import struct Shard.PollEvent
@_exported import enum Shard.PollTrigger
@_exported import class Shard.Program
@_exported import struct Shard.ProgramID
@_exported import struct Shard.Received
@_exported import struct Shard.Shard
@_exported import struct Shard.SimulatedFrame
@_exported import enum Shard.SocketKind
@_exported import struct Shard.StackConfiguration
@_exported import struct Shard.LinkConfiguration
@_exported import struct Shard.StackError
@_exported import struct Sockets.MessageHeader
@_exported import struct Sockets.OutgoingMessage
@_exported import struct Sockets.SocketPrivileges
@_exported import struct Sockets.SendPolicy
@_exported import struct TCP.TCPInfo
@_exported import struct Tables.WordError
@_exported import struct Tables.Words
@_exported import Timers
@_exported import struct IPv4.IPv4OptionList
@_exported import struct InetSocket.ExtendedError
@_exported import struct InetSocket.MessageTimes
@_exported import struct InetSocket.TimestampingFlags
@_exported import struct InetSocket.ReceivedControl
@_exported import struct InetSocket.ReceivedMessage
@_exported import struct InetSocket.FourTuple
@_exported import struct InetSocket.ProgramFlow
@_exported import struct InetSocket.ProgramSegment
@_exported import struct InetSocket.ProgramSend
@_exported import struct InetSocket.SendCompletion
@_exported import struct InetSocket.SocketProgram
@_exported import class SkBuff.ExternalMemory
@_exported import struct SkBuff.IoVector
@_exported import class SkBuff.SendNotification
@_exported import struct SkBuff.MemorySlice
@_exported import struct UDP.SendControl
@_exported import UAPI
@_exported import Wire
@_exported import enum Sockets.GroupOptionName
@_exported import enum Sockets.IPOptionName
@_exported import enum Sockets.SocketOptionLevel
@_exported import enum Sockets.SocketOptionName
@_exported import enum Sockets.TCPOptionName
@_exported import enum Sockets.UDPOptionName

/// What a socket is ready for. (epoll's own readiness has the same name one floor below.)
public typealias Readiness = UAPI.Readiness
