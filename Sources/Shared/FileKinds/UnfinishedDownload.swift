/// What programs leave beside a file, or in its place, as long as its download is not at its end.
package enum UnfinishedDownload {
  /// What they add to the name of a file for the one that they keep beside it until its download is at its end: aria2,
  /// axel, lftp, Chrome, Opera, Safari, Firefox and Transmission, rclone and browsers, WinSCP, qBittorrent, uTorrent, Free
  /// Download Manager, Thunder, the caches of huggingface_hub. Not its `.lock` and `.metadata`, which stay for ever.
  package static let endings = [
    ".aria2", ".st", ".lftp-pget-status", ".crdownload", ".opdownload", ".download", ".part", ".partial", ".filepart",
    ".!qB", ".!ut", ".fdmdownload", ".xltd", ".incomplete",
  ]
}
