"""Travel: flights, luggage, rail, hotels, papers and plans for a few days."""

from __future__ import annotations

from monitor.demo.texts.topic import AMOUNTS, DATES, NUMBERS, Intent, Product

_FLIGHT_CHANGE = Intent(
    prompts=(
        "Can I move my flight to {city} from {date} to a later day?",
        "My flight {flight} to {city} on {date} was cancelled. What are my options?",
        "What does it cost to change the name on the booking {number} to {city}?",
        "I will miss my connection in {city} on {date}. Who rebooks me?",
    ),
    openings=(
        "Yes, you can move the flight to {city} online up to two hours before departure.",
        "When flight {flight} is cancelled, you choose between a new flight and your money back.",
        "A corrected spelling on the booking {number} is free, and a change of the person costs the fee of your fare.",
        "On a single ticket the airline rebooks you in {city} free of charge when a connection is missed.",
    ),
    steps=(
        "Open the airline's app and enter the booking number {number}.",
        "Choose Change flight and select a new day near {date}.",
        "Compare the fare difference with the change fee before you confirm.",
        "Pay the difference and wait for the new confirmation by mail.",
        "Check in again, since the old boarding pass is no longer valid.",
    ),
    details=(
        "Flexible fares to {city} include one change without a fee.",
        "For a cancellation within fourteen days of departure, compensation depends on the distance.",
        "Spelling mistakes of up to three letters in a name are corrected for free.",
        "The service desk at the airport can use partner airlines that the app does not offer.",
        "Keep receipts for meals and a hotel if the delay lasts overnight.",
    ),
    follow_ups=(
        "Is the fee charged for each passenger?",
        "Can I fly from {date} on with a partner airline?",
        "How do I claim compensation for {flight}?",
    ),
)

_LUGGAGE = Intent(
    prompts=(
        "How heavy may my suitcase be on flight {flight} to {city}?",
        "My bag did not arrive in {city} on {date}. What should I do first?",
        "Can I take a {item} in my hand luggage to {city}?",
        "How do I get {amount} back for a suitcase damaged on flight {flight}?",
    ),
    openings=(
        "On flight {flight} to {city} most fares include one suitcase of up to 23 kilograms.",
        "Report the missing bag at the luggage desk before you leave the airport in {city}.",
        "Yes, a {item} may travel in hand luggage if it fits the size limit and is packed separately.",
        "Claim the {amount} from the airline of flight {flight} within seven days, with photos of the damage.",
    ),
    steps=(
        "Keep the luggage tag that was stuck on your boarding pass.",
        "Fill in the report at the desk and note its ten-character reference.",
        "Leave a delivery address in {city} and a phone number.",
        "Buy what you need for the first night and keep the receipts.",
        "Send the claim to the airline within seven days for damage and twenty-one days for delay.",
    ),
    details=(
        "Nine bags in ten are found within two days.",
        "The weight of a {item} counts toward your allowance.",
        "Extra kilograms are cheaper online than at the airport.",
        "Power banks belong in hand luggage and never in the hold.",
        "A photo of the packed suitcase helps with the claim over {amount}.",
    ),
    follow_ups=(
        "Does the {item} count as a second bag?",
        "How much can I spend on the first night?",
        "Where do I follow the search for the bag?",
    ),
)

_RAIL = Intent(
    prompts=(
        "What is the best way to get from {city} to {other} by train on {date}?",
        "Do I need a seat reservation on the train to {other} on {date}?",
        "Is a rail pass for {days} days cheaper than single tickets around {city}?",
        "My train to {other} is late and I paid {amount}. Do I get money back?",
    ),
    openings=(
        "Take the direct morning train from {city} to {other}, which is faster than flying door to door.",
        "A reservation is required on the high-speed trains to {other} and optional on the slower ones.",
        "For {days} days a rail pass pays from the third long journey around {city} on.",
        "Yes, from an hour of delay on you get a part of the {amount} back.",
    ),
    steps=(
        "Look up the connection about three months before {date}, when cheap tickets appear.",
        "Choose a train with at least forty minutes for the change.",
        "Reserve a seat together with the ticket.",
        "Save the ticket offline in the app.",
        "Be on the platform ten minutes early, since doors close before departure.",
    ),
    details=(
        "A delay of an hour returns a quarter of the price, and two hours return half.",
        "Night trains from {city} save a hotel and leave from the main station.",
        "Children under twelve often travel free with a parent.",
        "Tickets that allow every train on the day cost more but need no planning.",
        "Regional trains to {other} need no reservation at all.",
    ),
    follow_ups=(
        "Where do I sit for the best view on the way to {other}?",
        "What if I miss the change?",
        "Is first class worth {amount} more?",
    ),
)

_HOTEL = Intent(
    prompts=(
        "Can I cancel my hotel in {city} for {date} without paying {amount}?",
        "Which area of {city} is good for {days} nights with children?",
        "The hotel in {city} charged {amount} that was not in the booking {number}. What now?",
        "Is it possible to check in early in {city} on {date}?",
    ),
    openings=(
        "With free cancellation you pay nothing until six in the evening two days before {date}.",
        "For {days} nights in {city}, stay near a park and a metro line, one or two stops from the centre.",
        "Ask the reception for an itemised bill first, since the {amount} is often a city tax or a deposit.",
        "Yes, ask the hotel in {city} for a room from noon on, and it is often free of charge.",
    ),
    steps=(
        "Open the confirmation {number} and read the line about cancellation.",
        "Write to the hotel through the booking site, so that there is a record.",
        "Ask for a room from noon on if you arrive early on {date}.",
        "Leave your bags at the reception and keep the ticket.",
        "Check the final bill against the booking before you pay.",
    ),
    details=(
        "Early check-in is usually free when the house was not full the night before.",
        "A deposit is released within a week of departure.",
        "Family rooms in {city} sell out first, so book them early.",
        "The city tax is paid on the spot and depends on the number of nights.",
        "Rooms to the courtyard are quieter than those to the street.",
    ),
    follow_ups=(
        "Does the hotel have to answer in writing?",
        "Is breakfast worth it for {days} nights?",
        "What is the city tax in {city}?",
    ),
)

_PAPERS = Intent(
    prompts=(
        "Do I need a visa to visit {city} for {days} days from {date}?",
        "My passport expires on {date}. Can I still travel to {city}?",
        "Which papers does my child need for {days} days in {city}?",
        "I lost my passport in {city}. How do I get home by {date}?",
    ),
    openings=(
        "For {days} days in {city} many travellers need only a passport, and some an electronic permit.",
        "Many countries want a passport to be valid for six months beyond the trip, so renew it before {city}.",
        "For {days} days in {city} your child needs a passport of its own and a letter from the absent parent.",
        "Your embassy near {city} issues an emergency passport, often on the same day.",
    ),
    steps=(
        "Look up the entry rules for your nationality on the site of the foreign ministry.",
        "Apply for the electronic permit at least three days before {date}.",
        "Make a copy of the passport and keep it apart from the original.",
        "Report a lost passport to the police and take the report to the embassy.",
        "Bring two photos, the report and proof of your return trip.",
    ),
    details=(
        "A child travels on a passport of its own and with a letter from the absent parent.",
        "The electronic permit is tied to the passport number, so a new passport needs a new permit.",
        "Transit through a third country can need a permit of its own.",
        "Renewing a passport takes four to six weeks, and an express service takes three days.",
        "Border officers may ask for the address of your hotel in {city}.",
    ),
    follow_ups=(
        "How long is the permit valid?",
        "Does a letter for my child have to be certified?",
        "What does the emergency passport cost?",
    ),
)

_ITINERARY = Intent(
    prompts=(
        "What should I see in {city} in {days} days around {date}?",
        "Plan a day in {city} for {number} dollars with good food, please.",
        "How do I spend a rainy {date} in {city} with a teenager?",
        "Is {city} or {other} better for {days} days in a quiet season?",
    ),
    openings=(
        "With {days} days in {city}, give one to the old town, one to museums and the rest to day trips.",
        "Start in the market hall of {city}, where lunch is good and {number} dollars go a long way.",
        "Spend the rainy day in {city} in a science museum, a climbing hall and the covered market.",
        "{city} has more to see indoors in a quiet season, while {other} is better for walking.",
    ),
    steps=(
        "Begin early at the most popular sight and book its ticket online.",
        "Walk through the old town before lunch, while the streets are quiet.",
        "Eat at the market hall, where most dishes are made to order.",
        "Spend the afternoon in a museum or a garden near the river.",
        "Finish at a viewpoint about an hour before sunset.",
    ),
    details=(
        "A city pass pays from three museums on and includes the metro.",
        "Most museums in {city} close on Mondays.",
        "Restaurants a few streets away from the main square are better and cheaper.",
        "The tram along the river is a tour of the city for the price of a ticket.",
        "Around {date} the evenings are cool, so bring a jacket.",
    ),
    follow_ups=(
        "Where do locals eat near the old town?",
        "Is a day trip to {other} realistic?",
        "How much should I plan for tickets?",
    ),
)

TRAVEL = Product(
    name="travel",
    weight=0.25,
    length_ratio=1.05,
    list_ratio=0.25,
    slots={
        "city": ("Lisbon", "Vienna", "Oslo", "Kyoto", "Porto", "Prague", "Seville", "Montreal", "Dublin", "Athens"),
        "other": ("Madrid", "Berlin", "Bergen", "Osaka", "Lyon", "Krakow", "Granada", "Boston", "Milan", "Zurich"),
        "flight": tuple(f"{airline} {number}" for airline in ("NA", "QW", "TL", "XB") for number in range(101, 480, 3)),
        "item": ("guitar", "folding pram", "tripod", "pair of skis", "laptop bag", "violin", "camera case"),
        "days": ("three", "four", "five", "six", "eight", "ten"),
        "date": DATES,
        "amount": AMOUNTS,
        "number": NUMBERS,
    },
    contexts=(
        "We are travelling from {date} on.",
        "My booking number is {number}.",
        "We have a budget of {amount} a day.",
        "I travel with a {item}.",
        "It is my first time in {city}, and I arrive on {date}.",
        "Our flight is {flight}.",
        "We are three adults and leave on {date}.",
        "I already paid {amount}.",
    ),
    background=(
        "Keep the booking number, the ticket and the insurance number in one note on your phone.",
        "Prices for trips rise in the last two weeks before departure.",
        "Local public holidays change opening hours and timetables.",
        "A card without foreign fees saves a few percent on each payment abroad.",
        "Travel insurance covers illness before the trip, while a change of mind is not covered.",
        "Download the map of the city for use without a connection.",
        "The emergency number 112 works in most of Europe.",
        "Leave a copy of your plan with somebody at home.",
    ),
    intents=(_FLIGHT_CHANGE, _LUGGAGE, _RAIL, _HOTEL, _PAPERS, _ITINERARY),
)
