"""How the shipped networks were trained: data on the fly, loops that resume, exports."""
