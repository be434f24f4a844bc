"""The stages of the live stream, one file each: what one tick of each thread of `engine.runtime` does.

A stage is plain state plus a `tick`; it owns no thread. Frames leave a stage through a channel and never
come back.
"""
