"""The registry of networks. Builders around torchvision's classes, not copies of them."""
