"""What happens to a generation, in order, and every decision on the way.

One module per operation (`image_to_video`), whose `run` reads as its requirement; `generation`
holds the steps they share, `timeouts` every number with its reason. `contracts/` is the data that
crosses a boundary. Nothing here does I/O or reads the environment: effects are activities. Start
with `image_to_video.py`.
"""
