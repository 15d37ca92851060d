"""What the help says about spelling a graph; ``rgp.families`` reads it."""

SPELLINGS = """\
A graph is spelled family:N_d?option=value, with N nodes that each read d of the N (64_16 keeps 25%):

  64_16                        the best graph that rgp has found; it ships with rgp
  ring:64_16                   each node joined to its nearest on a circle: long paths, slow mixing
  circulant:64_16              each node joined at the same distances on a circle, the best ones found
  random:64_16?seed=3          the ring after random swaps of edges; a seed gives the same graph everywhere
  affine:64_15?classes=2       points on common lines of an affine plane: a sum of grouped convolutions that
                               mixes as well as any graph can
  affine:64_8?rotate=1         a different graph in each layer, in turn: here each one grouped convolution
  product:16_4x4               the graph 16_4 with 4 nodes for each of its nodes: fewer, larger blocks
  path/to/M0.npy               a square matrix of 0 and 1
  ring:64_17?loops=1           each node also reads itself, which counts in d

Options are joined by &, and a shell wants quotes around them: 'affine:64_8?classes=1&rotate=1'.
"""
