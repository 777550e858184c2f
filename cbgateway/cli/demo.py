def demo(): ...


EXAMPLES = ""
