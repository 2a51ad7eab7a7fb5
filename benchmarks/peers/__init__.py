"""What the data plane is compared with, built and run by `python -m benchmarks peers`.

Each peer runs alone on loopback, under the same load by the same generator, which shares the machine's cores with it.
A peer does less than the register where that makes it smaller; what it leaves out makes it faster, never slower.
"""
