"""What every call passes on its way in: deadline, key, scope, form; and how it leaves when it is refused."""
