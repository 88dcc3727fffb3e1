"""The asset library: one row per finished video.

`repository` writes and reads assets, owner-scoped; the row is the commit point of the file.
`labels` says what a video is filed under. Start with `repository.save`.
"""
