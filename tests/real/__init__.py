"""Foreign parts that the tests marked `real` run against: a camera, decoders and a browser that nobody here wrote."""
