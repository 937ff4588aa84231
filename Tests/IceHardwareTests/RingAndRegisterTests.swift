import IceHardware
import Testing

@Suite struct RingAndRegisterTests {
  let bus = IceBus(txDescriptorCount: 64, rxDescriptorCount: 96)

  @Test("D8 DD write-back changes only the type bits")
  func writeBack() {
    let ring = bus.txRing
    ring[63] = TxQuadWords(first: 0xAAAA, second: 0xFFFF_0000_1234_5670)
    #expect(!ring.isDone(63))
    ring.writeBackDone(63)
    #expect(ring.isDone(63))
    #expect(ring[63] == TxQuadWords(first: 0xAAAA, second: 0xFFFF_0000_1234_567F))
  }

  @Test("D12 Rx write-back is seen by its DD bit")
  func rxWriteBack() {
    let ring = bus.rxRing
    ring[95] = RxReadDescriptor(bufferAddress: IOVA(rawValue: .max)).packed
    #expect(!ring.isDone(95))
    ring.writeBack(95, RxQuadWords(1, 1, 3, 4))
    #expect(ring.isDone(95))
    #expect(ring[95] == RxQuadWords(1, 1, 3, 4))
  }

  @Test("D1 Ring sizes: 64 to 8160 in steps of 32", arguments: [32, 65, 8192])
  func sizes(_ count: Int) async {
    #expect(bus.txRing.count == 64 && bus.rxRing.count == 96)
    await #expect(processExitsWith: .failure) { [count] in
      _ = IceBus(txDescriptorCount: count)
    }
  }

  @Test("D11 Registers hold and count")
  func registers() {
    let registers = bus.registers
    for register in DeviceRegister.allCases { #expect(registers.read(register) == 0) }
    registers.write(.QTX_COMM_DBELL, 17)
    registers.add(.GLPRT_GOTC, 1500)
    registers.add(.GLPRT_GOTC, 60)
    #expect(registers.read(.QTX_COMM_DBELL) == 17)
    #expect(registers.read(.GLPRT_GOTC) == 1560)
  }
}
