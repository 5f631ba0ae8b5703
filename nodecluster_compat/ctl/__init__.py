"""Ask and steer a running server from a terminal: the command ``nodeclusterctl``."""
