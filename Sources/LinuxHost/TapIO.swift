/// The outcome of moving one frame: `.bytes` counts the virtio-net header too, where there is one.
/// `.error` is final for this frame only: EIO while the interface is down, EINVAL for a frame the
/// kernel refuses, ENOBUFS/ENOMEM under memory pressure, EBADFD once the interface is gone.
public typealias TapIO = DescriptorIO
