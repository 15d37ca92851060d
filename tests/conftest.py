"""What all tests share."""

import torch
from hypothesis import settings

torch.set_num_threads(1)  # the networks here are tiny, and threads that wait for each other cost more than they give
settings.register_profile("shared-machine", deadline=None)  # a busy machine is no failure
settings.load_profile("shared-machine")
