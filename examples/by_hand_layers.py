"""A multilayer perceptron on MNIST with layers: forward, loss, backward and step by hand."""

import numpy as np
from byhand import data, nn, optim

train, test = data.mnist()
network = nn.Sequential(
    nn.Flatten(),
    nn.Linear(784, 128, rng=0),
    nn.ReLU(),
    nn.Linear(128, 10, rng=1),
)
loss = nn.losses.CrossEntropyLoss()
optimizer = optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def numbers(images):
    """Pixels from 0 to 255 as numbers from -1 to 1, (N, 28, 28)."""
    return images.astype(np.float32) / 127.5 - 1


order = np.random.default_rng(0).permutation(len(train))
for step, start in enumerate(range(0, len(order), 128)):
    index = order[start : start + 128]
    value = loss.forward(network.forward(numbers(train.images[index])), train.labels[index])
    network.zero_grad()
    network.backward(loss.backward())  # adds to the .grad of every parameter
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step:3}  loss {value:.3f}")

network.eval()
answers = network.forward(numbers(test.images)).argmax(axis=1)
print(f"test accuracy {np.mean(answers == test.labels):.2%}")
