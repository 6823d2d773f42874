def add_parser(commands):
    return commands.add_parser("demo")


def run(arguments): ...
