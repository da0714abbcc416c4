"""Billing: charges, refunds, plans, invoices, cards and cancellations of a subscription service."""

from __future__ import annotations

from monitor.demo.texts.topic import AMOUNTS, DATES, NUMBERS, Intent, Product

_DUPLICATE_CHARGE = Intent(
    prompts=(
        "Why was I charged {amount} twice on {date}?",
        "My card statement shows two charges of {amount} from {date}. Is one of them a mistake?",
        "I see a second payment of {amount} for invoice {number}. Can I get one of them back?",
        "There is a duplicate charge of {amount} on my {card} since {date}. What happened?",
    ),
    openings=(
        "One of the two {amount} entries from {date} is a card authorisation, which disappears within five days.",
        "The second {amount} is most likely a pending authorisation next to the settled payment, and not a mistake.",
        "Yes, a real duplicate for invoice {number} is paid back in full, once both payments are settled.",
        "A second {amount} on a {card} is usually a hold: the bank lists it beside the settled charge for a few days.",
    ),
    steps=(
        "Open Account, then Billing, and look at the list of payments around {date}.",
        "Compare the status column: a hold reads Pending, and a real charge reads Paid.",
        "If both entries read Paid, press Report a charge beside the newer one.",
        "Choose Duplicate as the reason and attach a screenshot of the card statement.",
        "You get a confirmation by mail, and the refund reaches your {card} in three to five days.",
    ),
    details=(
        "Holds are placed by the bank when a payment is retried after a short network failure.",
        "A pending entry has no invoice number, while a settled charge always has one.",
        "Refunded duplicates show up as a credit of {amount} with the same invoice number.",
        "Two workspaces on one card also lead to two equal charges on the same day.",
        "Duplicate reports made within sixty days are settled without further questions.",
    ),
    follow_ups=(
        "Both entries read Paid. What now?",
        "How long does the refund to my {card} take?",
        "Will I be charged {amount} again next month?",
    ),
)

_REFUND = Intent(
    prompts=(
        "Can I get a refund of {amount} for the {plan} plan I bought on {date}?",
        "I forgot to cancel before {date} and paid {amount}. Is a refund possible?",
        "How do I ask for my money back for order {number}?",
        "I have not used the {plan} plan since {date}. Do I get the {amount} back?",
    ),
    openings=(
        "Yes, the {plan} plan can be refunded in full within fourteen days of the payment on {date}.",
        "Yes, after a forgotten cancellation the {amount} can be refunded for fourteen days.",
        "You can ask for the money of order {number} back yourself, and most refunds are approved the same day.",
        "Yes, an unused {plan} plan is refunded in full for fourteen days, and by the month after that.",
    ),
    steps=(
        "Sign in and open Billing, then Payment history.",
        "Select the payment from {date} and press Request refund.",
        "Pick a reason from the list and add a sentence about what went wrong.",
        "Confirm with the code that is sent to your mail address.",
        "Watch the status: Approved means that the money has left our account.",
    ),
    details=(
        "After fourteen days you get the unused part of the term as account credit.",
        "Annual plans are refunded in proportion to the remaining full months.",
        "The money always goes back to the card or account that paid.",
        "Your data stays available for thirty days after a refund.",
        "Gift cards and one-time credit packs are outside of the refund rule.",
    ),
    follow_ups=(
        "Which reason should I pick for order {number}?",
        "Do I lose my files after the refund?",
        "Can the {amount} go to another card?",
    ),
)

_CHANGE_PLAN = Intent(
    prompts=(
        "How do I move from the {plan} plan to a cheaper one before {date}?",
        "What happens to the {amount} I paid if I upgrade from {plan} on {date}?",
        "Can I switch my team of {seats} people to the {plan} plan?",
        "Is it possible to downgrade {plan} in the middle of the month?",
    ),
    openings=(
        "You can leave {plan} for a cheaper plan at any time, and the change starts with the next billing date.",
        "The unused part of the {amount} is credited to the day, and the upgrade starts at once.",
        "Yes, the owner of the workspace can move all {seats} people to the {plan} plan in less than a minute.",
        "Yes, you can downgrade {plan} in the middle of the month, and it takes effect at the end of the paid period.",
    ),
    steps=(
        "Open Settings, then Plan, and press Compare plans.",
        "Choose the new plan and the number of seats.",
        "Check the preview: it lists the credit for unused days and the new price.",
        "Press Confirm change, and the new limits apply immediately.",
        "Download the adjusted invoice from Payment history on the next day.",
    ),
    details=(
        "Unused days of the old plan are credited against the next invoice.",
        "With {seats} seats you are above the limit of the smallest plan.",
        "A downgrade keeps all projects, and those over the limit become read-only.",
        "Yearly plans can be upgraded in the middle of a term but downgraded only at its end.",
        "Only an owner or a billing admin sees the button for changing plans.",
    ),
    follow_ups=(
        "And what do {seats} seats cost per month?",
        "Do we lose projects when we downgrade?",
        "Who in my team may confirm the change?",
    ),
)

_INVOICE = Intent(
    prompts=(
        "Where can I download the invoice {number} from {date}?",
        "My invoice {number} has the wrong company name. How can I correct it?",
        "I need a VAT invoice over {amount} for our accountant by {date}. How do I get it?",
        "Can you send invoices for the {plan} plan to our finance department?",
    ),
    openings=(
        "Invoice {number} is kept as a PDF under Billing, then Payment history.",
        "You can correct the company name on invoice {number} yourself, and a new PDF is issued within minutes.",
        "The VAT invoice over {amount} is ready as soon as your VAT number is saved under Billing.",
        "Yes, add the finance department as an invoice recipient, and it gets every invoice for the {plan} plan.",
    ),
    steps=(
        "Open Billing and choose Payment history.",
        "Find the entry over {amount} and press the download symbol.",
        "For a correction, press Edit details and enter the legal name, the address and the VAT number.",
        "Press Reissue, and the corrected PDF replaces the old one under the same number.",
        "Add the address of your finance department under Invoice recipients for future copies.",
    ),
    details=(
        "A valid VAT number is checked against the public register while you type.",
        "Reissued invoices keep their date, so your accountant can book them in the same month.",
        "Up to five recipients get a copy of each invoice on the day of the payment.",
        "Invoices older than two years can be exported together as one archive.",
        "The purchase order number is printed on the invoice when you fill in that field.",
    ),
    follow_ups=(
        "Can the purchase order {number} be printed on it?",
        "Does the corrected invoice keep its date?",
        "How do I add a second recipient?",
    ),
)

_PAYMENT_FAILED = Intent(
    prompts=(
        "My payment of {amount} with a {card} was declined on {date}. What should I do?",
        "Why does my {card} keep failing for the {plan} plan?",
        "I got a mail that the payment for invoice {number} failed. Will I lose access?",
        "How can I change the {card} on file before the charge of {amount} on {date}?",
    ),
    openings=(
        "Confirm the payment of {amount} in your banking app and press Retry, which cures most declined cards.",
        "A {card} that keeps failing is usually expired, or its bank wants you to confirm the payment.",
        "No, you keep access: the payment for invoice {number} is tried again after one, three and seven days.",
        "Replace the {card} under Billing, and the {amount} is charged to the new one on {date}.",
    ),
    steps=(
        "Open Billing, then Payment method, and check the expiry date of the {card}.",
        "Press Retry payment and confirm the request in your banking app.",
        "If it fails again, press Add payment method and enter another card or a bank account.",
        "Mark the new method as default and remove the old one.",
        "The banner about the failed payment goes away as soon as the {amount} is settled.",
    ),
    details=(
        "Banks decline a payment when the billing address differs from the one they know.",
        "Cards issued for one country sometimes block payments abroad until you allow them.",
        "After the third failed attempt the workspace becomes read-only, and nothing is deleted.",
        "Direct debit is available for yearly plans and needs three working days to set up.",
        "The mail about a failed payment names the reason that the bank gave.",
    ),
    follow_ups=(
        "My bank says that nothing is blocked. What else could it be?",
        "How many days of access do I have left?",
        "Can I pay the {amount} by bank transfer?",
    ),
)

_CANCEL = Intent(
    prompts=(
        "How do I cancel my {plan} subscription before it renews on {date}?",
        "I want to stop the {plan} plan and keep my data until {date}. What are the steps?",
        "Can I pause my subscription of {amount} a month from {date}?",
        "What happens to our {seats} accounts when I cancel?",
    ),
    openings=(
        "Cancel the {plan} plan under Settings, then Plan, up to one hour before it renews on {date}.",
        "Cancel now and your data stays until {date} and for ninety days after the last paid day.",
        "Yes, a subscription of {amount} a month can be paused for up to three months.",
        "All {seats} accounts keep working until the last paid day and then become read-only.",
    ),
    steps=(
        "Sign in as the owner and open Settings, then Plan.",
        "Press Cancel plan and choose between a pause and a cancellation.",
        "Export your projects first with the button on the same page.",
        "Confirm the end date that is shown, and look for the mail that repeats it.",
        "Remove the payment method afterwards if you do not plan to return.",
    ),
    details=(
        "All {seats} accounts keep working until the last paid day.",
        "Data is kept for ninety days, and signing in again restores it.",
        "A pause stops the payments but keeps the price you signed up for.",
        "Apps bought through a phone's store are cancelled in that store.",
        "A cancelled plan can be revived with one press until the term ends.",
    ),
    follow_ups=(
        "Can I undo that until {date}?",
        "Is the export one file or many?",
        "Do I still pay {amount} for this month?",
    ),
)

BILLING = Product(
    name="billing",
    weight=0.35,
    length_ratio=0.88,
    list_ratio=0.35,
    slots={
        "amount": AMOUNTS,
        "date": DATES,
        "number": NUMBERS,
        "plan": ("Starter", "Basic", "Team", "Pro", "Business", "Family", "Studio", "Premium"),
        "card": ("Visa card", "Mastercard", "debit card", "company card", "credit card", "American Express card"),
        "seats": tuple(str(seats) for seats in range(3, 60)),
    },
    contexts=(
        "My customer number is {number}.",
        "I am on the {plan} plan.",
        "We are a team of {seats} people.",
        "I need this settled by {date}.",
        "The amount in question is {amount}.",
        "I pay with a {card}.",
        "My last invoice had the number {number}.",
        "I have been a customer since {date}.",
    ),
    background=(
        "Billing dates are shown in your own time zone under Settings.",
        "Every change to a plan or a payment is listed in the billing log with the name of the person who made it.",
        "Prices are shown without tax until a billing country is set.",
        "The billing page always shows the next charge and the day on which it is due.",
        "A billing admin can see payments without having access to the projects.",
        "Credit on the account is used up before a card is charged.",
        "Payments in other currencies use the daily rate of the card's bank.",
        "Receipts go to the owner's mail address unless other recipients are named.",
    ),
    intents=(_DUPLICATE_CHARGE, _REFUND, _CHANGE_PLAN, _INVOICE, _PAYMENT_FAILED, _CANCEL),
)
