/// A segment of RFC 9235, with the traffic key that it is signed with: master key "testvector".
struct AuthenticationVector: CustomStringConvertible, Sendable {
  var section: String
  var usesCMAC: Bool
  var excludesOptions: Bool
  /// The IP packet, in hexadecimal digits.
  var packet: String
  var trafficKey: String
  var source: UInt32
  var destination: UInt32
  var description: String { section }

  static let all: [AuthenticationVector] = [
    AuthenticationVector(
      section: "4.1.1", usesCMAC: false, excludesOptions: false,
      packet: "45e0004cdd0f4000ff06bf6b0a0b0c0dac1b1c1de9d700b3fbfbab5a00000000e002ffffcac40000"
        + "020405b4010303080402080a00155ab7000000001d103d542ee437c6f8ede6d7c4d602e7",
      trafficKey: "6d63ef1b02fe1509d4b1402707fd7b0416abb74f", source: 0xFBFBAB5A, destination: 0x00000000),
    AuthenticationVector(
      section: "4.1.2", usesCMAC: false, excludesOptions: false,
      packet: "45e0004c65064000ff063775ac1b1c1d0a0b0c0d00b3e9d711c14261fbfbab5be012ffff37760000"
        + "020405b4010303080402080a84a50beb00155ab71d10543deeab0fe24c3010815116b3be",
      trafficKey: "d9e217e4834a80ca2f3fd8de2e41b8e6797fea96", source: 0x11C14261, destination: 0xFBFBAB5A),
    AuthenticationVector(
      section: "4.1.3", usesCMAC: false, excludesOptions: false,
      packet: "45e0008736a14000ff06659f0a0b0c0dac1b1c1de9d700b3fbfbab5b11c14262c0180104a1620000"
        + "0101080a00155ac184a50beb1d103d547064cf998cc6c315c2c2e2bfffffffffffffffffffffffff"
        + "ffffffff00430104dabf00b40a0b0c0d260206010400010001020280000202020002024200020641"
        + "040000dabf02084006006400010100",
      trafficKey: "d2e59c65ffc7b1a39347656463b70edc24a13d71", source: 0xFBFBAB5A, destination: 0x11C14261),
    AuthenticationVector(
      section: "4.1.4", usesCMAC: false, excludesOptions: false,
      packet: "45e000871fa94000ff067c97ac1b1c1d0a0b0c0d00b3e9d711c14262fbfbab9ec0180100400c0000"
        + "0101080a84a50bf500155ac11d10543da63f0ecbbb2e635c954deac7ffffffffffffffffffffffff"
        + "ffffffff00430104dac000b4ac1b1c1d260206010400010001020280000202020002024200020641"
        + "040000dac002084006006400010100",
      trafficKey: "d9e217e4834a80ca2f3fd8de2e41b8e6797fea96", source: 0x11C14261, destination: 0xFBFBAB5A),
    AuthenticationVector(
      section: "4.2.1", usesCMAC: false, excludesOptions: true,
      packet: "45e0004c53994000ff0648e20a0b0c0dac1b1c1dff1200b3cb0efbee00000000e002ffff541f0000"
        + "020405b4010303080402080a00024cce000000001d103d5480af3cfeb85368937b8f9ec2",
      trafficKey: "30eaa1560cf0be57dab5c045229fb10a423cd7ea", source: 0xCB0EFBEE, destination: 0x00000000),
    AuthenticationVector(
      section: "4.2.2", usesCMAC: false, excludesOptions: true,
      packet: "45e0004c32844000ff0669f7ac1b1c1d0a0b0c0d00b3ff12acd5b5e1cb0efbefe012ffff388e0000"
        + "020405b4010303080402080a576772f300024cce1d10543d09306f9acea63a8c68cb9a70",
      trafficKey: "b5b2896bb3664e8176b0edc6e799524101a8307f", source: 0xACD5B5E1, destination: 0xCB0EFBEE),
    AuthenticationVector(
      section: "4.2.3", usesCMAC: false, excludesOptions: true,
      packet: "45e00087a8f54000ff06f34a0a0b0c0dac1b1c1dff1200b3cb0efbefacd5b5e2c01801046c450000"
        + "0101080a00024cce576772f31d103d54710608cc696c03a271c93aa5ffffffffffffffffffffffff"
        + "ffffffff00430104dabf00b40a0b0c0d260206010400010001020280000202020002024200020641"
        + "040000dabf02084006006400010100",
      trafficKey: "f3db1793d7910ecd806c34f155ea1f00345953e3", source: 0xCB0EFBEE, destination: 0xACD5B5E1),
    AuthenticationVector(
      section: "4.2.4", usesCMAC: false, excludesOptions: true,
      packet: "45e0008754374000ff064809ac1b1c1d0a0b0c0d00b3ff12acd5b5e2cb0efc32c018010046b60000"
        + "0101080a576772f300024cce1d10543d97766e48ac262de9ae61b4f9ffffffffffffffffffffffff"
        + "ffffffff00430104dac000b4ac1b1c1d260206010400010001020280000202020002024200020641"
        + "040000dac002084006006400010100",
      trafficKey: "b5b2896bb3664e8176b0edc6e799524101a8307f", source: 0xACD5B5E1, destination: 0xCB0EFBEE),
    AuthenticationVector(
      section: "5.1.1", usesCMAC: true, excludesOptions: false,
      packet: "45e0004c7b9f4000ff0620dc0a0b0c0dac1b1c1dc4fa00b3787a1ddf00000000e002ffff5a0f0000"
        + "020405b4010303080402080a00017ed0000000001d103d54e477e99c8040765498e55091",
      trafficKey: "f5b8b3d5f34fdbb6eb8d4ab9660e60e3", source: 0x787A1DDF, destination: 0x00000000),
    AuthenticationVector(
      section: "5.1.2", usesCMAC: true, excludesOptions: false,
      packet: "45e0004c4bad4000ff0650ceac1b1c1d0a0b0c0d00b3c4fafadd6de9787a1de0e012fffff3f20000"
        + "020405b4010303080402080a93f4e9e800017ed01d10543dd6ada7bc4cdd536d1769db5f",
      trafficKey: "4bc7571a486f3264bbd888474066b4b1", source: 0xFADD6DE9, destination: 0x787A1DDF),
    AuthenticationVector(
      section: "5.1.3", usesCMAC: true, excludesOptions: false,
      packet: "45e00087fb4f4000ff06a0f00a0b0c0dac1b1c1dc4fa00b3787a1de0fadd6deac018010495050000"
        + "0101080a00017ed093f4e9e81d103d5477412742fa4dc433eff0973effffffffffffffffffffffff"
        + "ffffffff00430104dabf00b40a0b0c0d260206010400010001020280000202020002024200020641"
        + "040000dabf02084006006400010100",
      trafficKey: "8c8ae0e8371ec5cbb97ea79d90418391", source: 0x787A1DDF, destination: 0xFADD6DE9),
    AuthenticationVector(
      section: "5.1.4", usesCMAC: true, excludesOptions: false,
      packet: "45e00087b9144000ff06e32bac1b1c1d0a0b0c0d00b3c4fafadd6dea787a1e23c0180100e7db0000"
        + "0101080a93f4e9e800017ed01d10543df6d965a78382a74845f72dacffffffffffffffffffffffff"
        + "ffffffff00430104dac000b4ac1b1c1d260206010400010001020280000202020002024200020641"
        + "040000dac002084006006400010100",
      trafficKey: "4bc7571a486f3264bbd888474066b4b1", source: 0xFADD6DE9, destination: 0x787A1DDF),
    AuthenticationVector(
      section: "5.2.1", usesCMAC: true, excludesOptions: true,
      packet: "45e0004cf22e4000ff06aa4c0a0b0c0dac1b1c1dda1c00b3389bed7100000000e002ffff70bf0000"
        + "020405b4010303080402080a000185e1000000001d103d54c44e60cb31f7c0b1de3d2749",
      trafficKey: "2cdbae1392c49449fa92c4509735d50e", source: 0x389BED71, destination: 0x00000000),
    AuthenticationVector(
      section: "5.2.2", usesCMAC: true, excludesOptions: true,
      packet: "45e0004c6cc04000ff062fbbac1b1c1d0a0b0c0d00b3da1cd3844a6f389bed72e012ffffe4450000"
        + "020405b4010303080402080ace459838000185e11d10543d3a6abb207e49b1be7136db90",
      trafficKey: "3ce67a551869506b6347b633c50a624a", source: 0xD3844A6F, destination: 0x389BED71),
    AuthenticationVector(
      section: "5.2.3", usesCMAC: true, excludesOptions: true,
      packet: "45e00087ee914000ff06adae0a0b0c0dac1b1c1dda1c00b3389bed72d3844a70c018010488510000"
        + "0101080a000185e1ce4598381d103d547585e9e9d5c3ec857b96f837ffffffffffffffffffffffff"
        + "ffffffff00430104dabf00b40a0b0c0d260206010400010001020280000202020002024200020641"
        + "040000dabf02084006006400010100",
      trafficKey: "035bc400a341ffe595f59f58005006ca", source: 0x389BED71, destination: 0xD3844A6F),
    AuthenticationVector(
      section: "5.2.4", usesCMAC: true, excludesOptions: true,
      packet: "45e000876a214000ff06321fac1b1c1d0a0b0c0d00b3da1cd3844a70389bed72c018010004490000"
        + "0101080ace459838000185e11d10543d5c040fd9233304765c0982f4ffffffffffffffffffffffff"
        + "ffffffff00430104dac000b4ac1b1c1d260206010400010001020280000202020002024200020641"
        + "040000dac002084006006400010100",
      trafficKey: "3ce67a551869506b6347b633c50a624a", source: 0xD3844A6F, destination: 0x389BED71),
  ]
}
