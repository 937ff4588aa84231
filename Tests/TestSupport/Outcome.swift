import SwiftStack

/// What a throwing call came to, so that it can be compared.
public func outcome<Value>(_ body: () async throws(SocketError) -> Value) async -> Result<Value, SocketError>
{
  do throws(SocketError) { return .success(try await body()) } catch { return .failure(error) }
}
public func outcome<Value>(_ body: () throws(SocketError) -> Value) -> Result<Value, SocketError> {
  do throws(SocketError) { return .success(try body()) } catch { return .failure(error) }
}
