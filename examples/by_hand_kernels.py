"""LeNet-5 on MNIST with kernels alone: every array and every call of a training step."""

import numpy as np
from byhand import data, kernels

rng = np.random.default_rng(0)
train, test = data.mnist()


def draw(*shape):
    """Draw weights as PyTorch does: uniform in +-1 / sqrt(number of inputs per output)."""
    bound = 1 / np.sqrt(np.prod(shape[1:]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


w1, w2, w3, w4 = weights = draw(20, 1, 5, 5), draw(50, 20, 5, 5), draw(128, 800), draw(10, 128)
b1, b2, b3, b4 = biases = tuple(np.zeros(len(w), np.float32) for w in weights)
velocities = [np.zeros(p.size, np.float32) for p in weights + biases]


def batch(images, index):
    """The images of a batch, shape (N, 1, 28, 28). Pixels from 0 to 255 become -1 to 1."""
    return kernels.gather_images(images[:, None], index, scale=1 / 127.5, offset=-1.0)


def forward(x):
    p1, i1 = kernels.max_pool2d(kernels.conv2d(x, w1, b1), 2)  # (N, 20, 24, 24) to (N, 20, 12, 12)
    a1 = kernels.relu(p1)
    p2, i2 = kernels.max_pool2d(kernels.conv2d(a1, w2, b2), 2)  # (N, 50, 8, 8) to (N, 50, 4, 4)
    a2 = kernels.relu(p2).reshape(len(x), 800)
    a3 = kernels.relu(kernels.linear(a2, w3, b3))
    return kernels.linear(a3, w4, b4), (x, i1, a1, i2, a2, a3)


def backward(g4, saved):
    """The gradients of all weights and biases by the chain rule. g4 is that of the logits."""
    x, i1, a1, i2, a2, a3 = saved
    g3 = kernels.relu_backward(kernels.linear_backward_input(g4, w4), a3)
    g2 = kernels.relu_backward(kernels.linear_backward_input(g3, w3), a2)
    g2 = kernels.max_pool2d_backward(g2.reshape(-1, 50, 4, 4), i2, (len(x), 50, 8, 8))
    g1 = kernels.relu_backward(kernels.conv2d_backward_input(g2, w2, a1.shape), a1)
    g1 = kernels.max_pool2d_backward(g1, i1, (len(x), 20, 24, 24))
    conv, linear = kernels.conv2d_backward_weight, kernels.linear_backward_weight
    dw = conv(g1, x, w1.shape), conv(g2, a1, w2.shape), linear(g3, a2), linear(g4, a3)
    conv, linear = kernels.conv2d_backward_bias, kernels.linear_backward_bias
    return *dw, conv(g1), conv(g2), linear(g3), linear(g4)


order = rng.permutation(len(train))
for step, index in enumerate(np.array_split(order, -(-len(order) // 128))):
    logits, saved = forward(batch(train.images, index))
    loss, p = kernels.softmax_cross_entropy(logits, train.labels[index])
    gradients = backward(kernels.softmax_cross_entropy_backward(p, train.labels[index]), saved)
    for w, g, v in zip(weights + biases, gradients, velocities, strict=True):
        kernels.sgd_step(w.ravel(), g.ravel(), v, lr=0.02, momentum=0.9)
    if step % 100 == 0:
        print(f"step {step:3}  loss {loss:.3f}")

logits, _ = forward(batch(test.images, np.arange(len(test))))
print(f"test accuracy {np.mean(logits.argmax(axis=1) == test.labels):.2%}")
