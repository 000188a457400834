import torch
from torch import nn
from torch.utils.data import DataLoader

from data import Recordings


class Encoder(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        self.rnn = nn.GRU(features, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * 2 * hidden, classes)

    def forward(self, x):
        batch, steps, features = x.shape
        _, state = self.rnn(x)
        return self.head(state.view(batch, -1))


torch.manual_seed(0)
model = Encoder(features=40, hidden=128, classes=35)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[30, 60, 90], gamma=0.1)
loader = DataLoader(Recordings("speech/train"), batch_size=64, shuffle=True)

for epoch in range(25):
    for audio, word in loader:
        loss = criterion(model(audio), word)
        loss = torch.clamp(loss, max=5.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
