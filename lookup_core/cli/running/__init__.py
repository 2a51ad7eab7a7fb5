"""The job behind `make run`: set-up, servers, the processes of the Procfile, and their end.

For one machine and one person's look at the system: loopback only, demo keys in a file. Not a deployment.
"""
