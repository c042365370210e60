"""Is a backward pass right? Compare its gradients with finite differences.

If a weight goes from w - h to w + h, the loss changes by about gradient * 2h. In float32, the
difference of two losses has few correct digits. So h must not be too small, and a gradient that
differs from its estimate by up to 2 % is not an error.
"""

import numpy as np
from byhand import nn

network = nn.Sequential(
    nn.Conv2d(1, 4, 3, rng=0),
    nn.Tanh(),
    nn.AvgPool2d(2),
    nn.Flatten(),
    nn.Linear(36, 5, rng=1),
)
loss = nn.losses.CrossEntropyLoss()
rng = np.random.default_rng(2)
x = rng.standard_normal((16, 1, 8, 8), dtype=np.float32)
labels = rng.integers(0, 5, 16)

loss.forward(network.forward(x), labels)
network.backward(loss.backward())

h = np.float32(1e-2)
for name, parameter in network.named_parameters():
    weights, gradient = parameter.data.reshape(-1), parameter.grad.reshape(-1)
    estimate = np.empty_like(gradient)
    for i in range(weights.size):
        before = weights[i]
        weights[i] = before + h
        above = loss.forward(network.forward(x), labels)
        weights[i] = before - h
        below = loss.forward(network.forward(x), labels)
        weights[i] = before
        estimate[i] = (above - below) / (2 * h)
    apart = np.linalg.norm(estimate - gradient) / np.linalg.norm(gradient)
    print(f"{name:9} {parameter.shape!s:13} relative difference {apart:.2e}")
    assert apart < 0.02, name
