"""rgp-compile: a masked network becomes an engine that is really faster, proved equal and measured.

Export (torch to ONNX), structure (what the weights' zeros say), lowerings (ways to run one convolution), tune
(measure them), layout (one channel order for each tensor), rewrite, verify, report: in this order, once.
"""
