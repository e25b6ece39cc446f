"""The ratings of a source as its files have them."""

from r2rec.data.interactions import Raw


def ratings(raw: Raw) -> list[tuple[str, str, float, int]]:
    """Rows of user, item, rating and time, with raw ids in place of row numbers."""
    users, items = raw.users["raw_id"], raw.items["raw_id"]
    return [
        (users[user], items[item], rating, time) for user, item, rating, time in raw.ratings.rows()
    ]
