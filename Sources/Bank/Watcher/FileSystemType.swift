import CLinux
import SystemSupport

/// What matters of a file system to one who watches it.
enum FileSystemType: Equatable {
  case local
  case overlay
  /// Changes may be made where this kernel does not see them.
  case remote(String)
}

/// By statfs's magic numbers (man 2 statfs). Unknown counts as local.
func fileSystemType(_ descriptor: FileDescriptor) -> FileSystemType {
  switch t2_file_system_type(descriptor.number) {
  case 0x6969: .remote("NFS")
  case 0x517B, 0xFE53_4D42, 0xFF53_4D42: .remote("SMB")
  case 0x0102_1997: .remote("9p")
  case 0x6573_5546: .remote("FUSE")
  case 0x5346_414F: .remote("AFS")
  case 0x00C3_6400: .remote("Ceph")
  case 0x786F_4256: .remote("vboxsf")
  case 0x794C_7630: .overlay
  default: .local
  }
}
