"""Makes the example of a classification (fraud.jsonl): messages to customers of a bank, fraud or fine.

Every message is put together from parts that the project wrote; none is anybody's.

    python3 examples/data/make_fraud.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20_26
OF_EACH = 300
SHOTS = 2
"""Examples of each class that every question shows."""

ASK = "Is this message to a customer of a bank fraud or fine? Answer with one word: fraud or fine."
NAMES = ("Ana", "Bo", "Chidi", "Dana", "Emre", "Fatima", "Goran", "Hana", "Ivo", "Juan", "Kemal", "Lena", "Mei", "Noor",
         "Olu", "Pia", "Quentin", "Rosa", "Sven", "Tariq")  # fmt: skip
AMOUNTS = ("12.40", "19.99", "45.00", "60.15", "88.70", "120.00", "240.50", "310.00", "499.00", "750.25", "980.00")
SHOPS = ("the bakery", "Green Market", "City Books", "the pharmacy", "Blue Cafe", "the cinema", "North Garage",
         "the florist", "Old Town Hotel", "the bicycle shop")  # fmt: skip
LINKS = ("bank-secure-login.example", "verify-now.example", "account-unlock.example", "prize-claim.example",
         "refund-fast.example")  # fmt: skip

FRAUD = {
    "open": ("URGENT!", "Final warning!", "Attention!", "Congratulations!", "Security alert!", "Dear customer,",
             "Immediate action required!"),
    "claim": ("Your account has been locked.", "You have won a prize of ${amount}.", "Your card will be blocked today.",
              "A refund of ${amount} is waiting for you.", "Somebody tried to steal ${amount} from your account.",
              "Your tax refund of ${amount} was not paid out.", "You owe ${amount} and will be arrested."),
    "demand": ("Send us your password and PIN now.", "Click {link} and enter your card number.",
               "Reply with the code that we sent to your phone.", "Buy gift cards for ${amount} and send us the codes.",
               "Confirm your PIN at {link} within one hour.", "Transfer ${amount} to this safe account at once.",
               "Tell nobody, and give us your secret code."),
}  # fmt: skip
FINE = {
    "open": ("Hello {name},", "Good morning {name},", "Hi {name},", "Dear {name},"),
    "tell": ("your payment of ${amount} at {shop} was completed.", "your monthly statement is ready in the app.",
             "the branch on Main Street is closed on Monday.", "thank you for your visit at {shop} yesterday.",
             "your new card is on its way and arrives next week.", "your appointment with our adviser is at ten.",
             "{shop} has paid back ${amount} to your card."),
    "close": ("You do not need to do anything.", "We will never ask for your password.", "Have a nice day.",
              "You find the details in your app.", "Call us at the branch if you have questions.",
              "Thank you for banking with us.", "See you soon."),
}  # fmt: skip


def message(chance: random.Random, parts: dict[str, tuple[str, ...]]) -> str:
    """One message: a choice of each part, its gaps filled."""
    whole = " ".join(chance.choice(options) for options in parts.values())
    fill = {"name": NAMES, "shop": SHOPS, "link": LINKS, "amount": AMOUNTS}
    return whole.format(**{gap: chance.choice(words) for gap, words in fill.items()})


def messages(chance: random.Random, parts: dict[str, tuple[str, ...]], count: int) -> list[str]:
    """So many different messages."""
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(message(chance, parts))
    return list(found)


def question(text: str, shots: list[tuple[str, str]]) -> list[dict[str, str]]:
    """A chat that shows some examples, and asks."""
    asked = [{"role": "system", "content": ASK}]
    for shown, label in shots:
        asked += [{"role": "user", "content": shown}, {"role": "assistant", "content": label}]
    return [*asked, {"role": "user", "content": text}]


def lines() -> list[dict[str, object]]:
    """OF_EACH questions of each class, shuffled; the examples are no questions."""
    chance = random.Random(SEED)  # noqa: S311 - the same questions each time
    fraud, fine = (messages(chance, parts, OF_EACH + SHOTS) for parts in (FRAUD, FINE))
    shots = [shot for pair in zip(fraud[:SHOTS], fine[:SHOTS], strict=True)
             for shot in zip(pair, ("fraud", "fine"), strict=True)]  # fmt: skip
    found: list[dict[str, object]] = [
        {"messages": question(text, shots), "expected": label}
        for label, texts in (("fraud", fraud[SHOTS:]), ("fine", fine[SHOTS:]))
        for text in texts
    ]
    chance.shuffle(found)
    return found


if __name__ == "__main__":
    (HERE / "fraud.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines()))
