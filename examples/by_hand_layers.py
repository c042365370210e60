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
optimizer = optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

for step, (images, labels) in enumerate(data.batches(train, 128)):  # pixels from 0 to 1
    value = loss(network(images), labels)
    network.zero_grad()
    network.backward(loss.backward())  # adds to the .grad of every parameter
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step:3}  loss {value:.3f}")

network.eval()
right = [network(x).argmax(axis=1) == y for x, y in data.batches(test, 1000, shuffle=False)]
print(f"test accuracy {np.concatenate(right).mean():.2%}")
