"""The networks of the published code of RGP: its names for them -> ours."""

PUBLISHED = {
    **{f"ResNet{depth}": f"resnet{depth}" for depth in (18, 50, 101)},
    **{f"WideResNet{depth}_2": f"wide_resnet{depth}_2" for depth in (50, 101)},
    **{f"cResNet{depth}": f"cifar_resnet{depth}" for depth in (18, 50, 101)},
    "resnet56": "cifar_resnet56",
    **{f"vgg{depth}_bn": f"cifar_vgg{depth}_bn" for depth in (11, 13, 16, 19)},
    "MobileNetV2": "cifar_mobilenet_v2",
    **{f"DenseNet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
}
