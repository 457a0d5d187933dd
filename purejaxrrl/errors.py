"""The error that is the user's: what was given does not fit, and the message says what would be right."""


class UserError(ValueError):
    """Something that was given, a value, a name, a file or a folder, cannot be used; one line says why and what would be right.

    Programs print it without a traceback. Any other ValueError is a fault in code, the library's or one's own, and shows where.
    """
