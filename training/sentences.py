"""Sentences to be spoken: our own words in our own patterns, drawn by a seed.

English words are in two pools. Every fourth of a kind is spoken in dev and test sentences only:
no net meets them in training. Other languages are rows of common words, some of them asked or
called: the synthesizers read them, nobody has to understand them.
"""

import random
from collections.abc import Callable
from typing import Final, Literal

Pool = Literal["train", "unseen"]

UNSEEN: Final = 4
"""Every fourth word."""

NOUNS: Final = """\
    map beam bomb bread bumper bubble camp cabin lamp lemon plum poem problem rubber shrimp pump
    tomb thumb robin ribbon number member chamber cucumber pamphlet apple people puppy paper
    pepper picture pipe pillow pebble palm broom bridge blanket bottle button basket bamboo
    balloon baby mirror mother museum mountain mouth muffin mammal memory moment machine magnet
    match fish photograph feather forest fever flavour coffee sheriff giraffe leaf cliff roof
    wolf village vase voyage valley velvet oven river glove stove wave curve thief thunder
    theatre bath cloth month path tooth youth truth feather leather brother weather table tower
    teacher tiger ticket tunnel daughter doctor dragon desert dinner diamond dust shadow
    shoulder sugar ship brush ocean station mission pressure treasure measure garage cherry
    chair chicken church kitchen watch bench beach jacket jungle judge orange bridge page sister
    summer soup salad sentence sandwich sofa circus zebra zone zoo music reason noise rose night
    knee nurse number noon needle engine onion sun moon rain queen king song ring morning lake
    letter lawyer lion ladder island olive jelly wheel school castle pencil road rabbit radio
    rocket ruler carrot garage arrow mirror orange horse house hammer honey hill hotel perhaps
    window wood wheel water weather winter world yard yellow yoghurt yacht onion union cook book
    bush foot wolf pudding sugar cushion tube tune tool moose goose fruit juice shoe boat bone
    coat goat nose phone ghost toe snow window boy coin oil voice toy noise point oyster cow
    cloud house mouse crown flower shower mountain time tide bike knife pie sky fire tyre child
    island cake face game lake rain train plane plate ear beer deer year bear hair square tour
    car star garden market arm heart father ball door horse sauce saw thought water cup sun love
    mud stomach monkey country cat hat map apple bag dance plant bird girl word nurse shirt
    turtle garlic ghost gift guitar goal eagle tiger frog dog cactus clock cup candle cousin"""
VERBS: Final = """\
    buy bring build bake borrow blame bump become believe push pull pick paint publish praise
    promise prepare make move mix meet measure mention remember climb combine compare complete
    improve impress simplify amuse swim dream blame find follow forget fix fetch finish fold
    visit view value leave save believe drive prove love think thank throw teach touch try take
    tell test deliver decide describe draw drop shout show shake share shape sharpen chase
    choose check change challenge catch watch judge join juggle see send sing sell solve
    surprise sew raise use choose close notice know need knit learn like lift lose light look
    read ride reach remove rescue repair watch want wash wave wear win yell use hold hear hate
    hide help hunt cook carry call keep kick give guard grow guess greet question quit squeeze
    copy open cover count enjoy avoid destroy burn learn serve turn measure treasure breathe
    smooth bathe"""
ADJECTIVES: Final = """\
    big brown blue brave bright broken beautiful bumpy plain pale purple perfect polite proper
    popular possible pink mad modern mighty many smooth small simple empty lame humble nimble
    warm calm gloomy famous fresh funny fine foolish fair fierce rough tough safe soft stiff
    very vivid vague heavy seven clever brave thick thin thirsty thoughtful healthy third smooth
    other tall tiny tired tidy dark dry dirty dull deep sharp shy short fresh special cheap
    charming rich much gentle giant strange large huge usual sour sad silly sleepy safe icy nice
    crazy lazy noisy easy rosy nasty narrow noble new nervous long loud little lonely yellow
    loyal real rapid round rusty red cruel weird wide wild wet wise white young useful hot happy
    hungry heavy cold kind cool clean curious good grey green great golden quick quiet odd old
    awful early urgent empty eager able ugly unusual equal"""
ADVERBS: Final = """\
    maybe simply probably promptly smoothly slowly perhaps somehow sometimes often never ever
    always finally fully thoroughly truly usually surely mostly badly early gently happily
    quickly quietly carefully loudly bravely nearly barely warmly softly together again today
    tomorrow yesterday tonight immediately"""
NAMES: Final = """\
    Bob Barbara Pam Peter Paul Mimi Martha Tom Emma Fiona Victor Eve Theo Beth Tina David Daisy
    Shaun Charles Joy Jim Susan Zoe Nora Lily Rachel Henry Hugo William Wendy Yolanda Kate Carl
    George Olga Oscar Ursula Philip Bruce Robert Abigail"""
PLACES: Final = """\
    in the park|by the pump|on the bridge|behind the barn|at the museum|near the map shop|
    under the bed|above the kitchen|in the middle of the forest|beside a pile of papers|
    on top of the mountain|across the valley|through the village|around the theatre|
    from the boat house|between two ships|in February|in November|at the end of March|
    before breakfast|after a month|beyond the lake|within five hours|
    on the third of September|with a bunch of plums|for a pair of shoes|without a map|
    upon a big blue pillow|next to the pharmacy|inside the chapel|over the roof|
    along the coast|past the zoo|during the summer|beneath the oak|against the wall|
    out of the harbour|off the table"""
PHRASES: Final = """\
    thank you very much|my pleasure|please repeat that|I am sorry about the problem|
    of course|let me look it up|one moment please|how may I help you|what a lovely morning|
    you are welcome|by the way|good evening|could you spell your name for me|
    that sounds wonderful|no problem at all|see you next week|I beg your pardon|
    is there anything else|nobody knows|well, I never|oh, that is a shame|yes, absolutely|
    maybe not|hold the line"""

ENGLISH: Final[tuple[str, ...]] = (
    "The {a} {n} {p}.",
    "{N} wants to {v} the {a} {n}.",
    "Did {N} {v} my {n} {p}?",
    "We {d} {v} a {n} and a {a} {n}.",
    "Please {v} the {n} {p}, and {v} the {n}.",
    "{N} and {N} {v} {n}s {p}.",
    "Why would anybody {v} such a {a} {n}?",
    "I {d} {v} {a}, {a} {n}s.",
    "If you {v} the {n}, I will {v} it {d}.",
    "Nobody can {v} {x} {n}s {p}.",
    "{h}! The {n} was {a}.",
    "Your {n} is {x} metres from the {a} {n}.",
    "My {n} and your {n} are both {a}.",
    "{N} {d} said: {h}.",
    "Let us {v} it, then {v} it, then {v} it again.",
    "It costs {x} pounds, or {x} for {N}.",
    "Open the {n}; the {n} is {a} and {a}.",
    "There might be a {n} {p}, but I {d} {v} it.",
    "{h}, {N}.",
    "How {a} is that {n}?",
    "The {n} of the {n}, {p}, looked {a}.",
    "Would you {v} a {n} for {N}?",
)

FOREIGN: Final[dict[str, str]] = {
    "de": """und ich bin heute morgen früh aufgestanden Mutter Vater Bruder Schwester Apfel Birne
    Pflaume Pfeffer Baum Blume Brot Butter Milch Wasser Kaffee Tee Zucker Salz schön grün blau
    gelb schwarz weiß groß klein müde fröhlich über unter zwischen Fenster Tür Straße Bahnhof
    Flughafen Zeitung Bücher Mädchen Junge vielleicht wahrscheinlich jemand niemand immer manchmal
    fünf sechs sieben zwölf zwanzig hundert Frühling Sommer Herbst Winter Montag Mittwoch
    Wochenende sprechen arbeiten kaufen bleiben mögen können dürfen träumen kämpfen hoffen
    Kirche Küche Körper Lampe Himmel Zimmer Gemüse Kupfer Ampel Suppe Schmetterling Zeug euch""",
    "fr": """je tu nous vous bonjour merci beaucoup maison pomme poire pain beurre fromage lait eau
    café sucre petit grand beau belle rouge bleu vert jaune noir blanc fenêtre porte chambre
    cuisine jardin arbre fleur oiseau chien chat cheval mouton lapin homme femme enfant garçon
    fille père mère frère soeur ami printemps été automne hiver lundi mardi mercredi jeudi
    vendredi samedi dimanche peut-être toujours jamais souvent parce que pendant depuis avec sans
    deux trois cinq huit neuf vingt manger boire dormir parler chanter danser travailler penser
    venir pouvoir vouloir bouche bras jambe pied musique voyage montagne plage campagne bon vin""",
    "es": """yo tú nosotros buenos días gracias casa manzana pera pan mantequilla queso leche agua
    café azúcar pequeño grande hermoso rojo azul verde amarillo negro blanco ventana puerta cuarto
    cocina jardín árbol flor pájaro perro gato caballo oveja conejo hombre mujer niño niña padre
    madre hermano hermana amigo primavera verano otoño invierno lunes martes miércoles jueves
    viernes sábado domingo siempre nunca también porque mientras desde con sin dos tres cinco ocho
    nueve veinte comer beber dormir hablar cantar bailar trabajar pensar venir poder boca brazo
    pierna pie música viaje montaña playa campo bueno vino zapato lluvia llave guitarra jamón""",
    "it": """io tu noi voi buongiorno grazie casa mela pera pane burro formaggio latte acqua caffè
    zucchero piccolo grande bello rosso azzurro verde giallo nero bianco finestra porta camera
    cucina giardino albero fiore uccello cane gatto cavallo pecora coniglio uomo donna bambino
    padre madre fratello sorella amico primavera estate autunno inverno lunedì martedì mercoledì
    giovedì venerdì sabato domenica sempre mai spesso perché mentre con senza due tre cinque otto
    nove venti mangiare bere dormire parlare cantare ballare lavorare pensare venire potere bocca
    braccio gamba piede musica viaggio montagna spiaggia campagna buono vino pioggia tempo zio
    ombra pompelmo imbuto pubblico abbiamo mamma babbo foglia gnocchi scienza sveglia aglio""",
    "pt": """eu você nós bom dia obrigado casa maçã pera pão manteiga queijo leite água café açúcar
    pequeno grande bonito vermelho azul verde amarelo preto branco janela porta quarto cozinha
    jardim árvore flor pássaro cachorro gato cavalo ovelha coelho homem mulher menino menina pai
    mãe irmão irmã amigo primavera verão outono inverno segunda terça quarta quinta sexta sábado
    domingo sempre nunca também porque enquanto desde com sem dois três cinco oito nove vinte
    comer beber dormir falar cantar dançar trabalhar pensar vir poder boca braço perna pé música
    viagem montanha praia campo bom vinho sapato chuva chave coração amanhã ontem problema""",
    "nl": """ik jij wij goedemorgen bedankt huis appel peer brood boter kaas melk water koffie
    suiker klein groot mooi rood blauw groen geel zwart wit raam deur kamer keuken tuin boom bloem
    vogel hond kat paard schaap konijn man vrouw kind jongen meisje vader moeder broer zus vriend
    lente zomer herfst winter maandag dinsdag woensdag donderdag vrijdag zaterdag zondag altijd
    nooit vaak omdat terwijl sinds met zonder twee drie vijf acht negen twintig eten drinken
    slapen spreken zingen dansen werken denken komen kunnen mond arm been voet muziek reis berg
    strand goed wijn schoen regen sleutel misschien probleem lamp bezem vuur uil ei""",
    "pl": """ja ty my dzień dobry dziękuję dom jabłko gruszka chleb masło ser mleko woda kawa cukier
    mały duży piękny czerwony niebieski zielony żółty czarny biały okno drzwi pokój kuchnia ogród
    drzewo kwiat ptak pies kot koń owca królik mężczyzna kobieta dziecko chłopiec ojciec matka
    brat siostra przyjaciel wiosna lato jesień zima poniedziałek wtorek środa czwartek piątek
    sobota niedziela zawsze nigdy często ponieważ podczas bez dwa trzy pięć osiem dziewięć
    dwadzieścia jeść pić spać mówić śpiewać tańczyć pracować myśleć usta ramię noga stopa muzyka
    podróż góra plaża dobry wino but deszcz klucz problem lampa pompa""",
    "ru": """я ты мы доброе утро спасибо дом яблоко груша хлеб масло сыр молоко вода кофе сахар
    маленький большой красивый красный синий зелёный жёлтый чёрный белый окно дверь комната кухня
    сад дерево цветок птица собака кошка лошадь овца кролик мужчина женщина ребёнок мальчик отец
    мать брат сестра друг весна лето осень зима понедельник вторник среда четверг пятница суббота
    воскресенье всегда никогда часто потому во время без два три пять восемь девять двадцать есть
    пить спать говорить петь танцевать работать думать рот рука нога музыка путешествие гора пляж
    хороший вино ботинок дождь ключ проблема лампа бумага подушка мама папа бабушка""",
    "sv": """jag du vi god morgon tack hus äpple päron bröd smör ost mjölk vatten kaffe socker liten
    stor vacker röd blå grön gul svart vit fönster dörr rum kök trädgård träd blomma fågel hund
    katt häst får kanin man kvinna barn pojke flicka far mor bror syster vän vår sommar höst
    vinter måndag tisdag onsdag torsdag fredag lördag söndag alltid aldrig ofta därför medan sedan
    med utan två tre fem åtta nio tjugo äta dricka sova tala sjunga dansa arbeta tänka komma kunna
    mun arm ben fot musik resa berg strand god vin sko regn nyckel problem lampa sju kött""",
    "tr": """ben sen biz günaydın teşekkür ev elma armut ekmek tereyağı peynir süt su kahve şeker
    küçük büyük güzel kırmızı mavi yeşil sarı siyah beyaz pencere kapı oda mutfak bahçe ağaç çiçek
    kuş köpek kedi at koyun tavşan adam kadın çocuk kız baba anne kardeş arkadaş ilkbahar yaz
    sonbahar kış pazartesi salı çarşamba perşembe cuma cumartesi pazar her zaman asla sık çünkü
    iken beri ile iki üç beş sekiz dokuz yirmi yemek içmek uyumak konuşmak şarkı söylemek dans
    çalışmak düşünmek gelmek ağız kol bacak ayak müzik yolculuk dağ plaj iyi ayakkabı yağmur
    anahtar problem lamba pompa belki""",
    "fi": """minä sinä me hyvää huomenta kiitos talo omena päärynä leipä voi juusto maito vesi
    kahvi sokeri pieni suuri kaunis punainen sininen vihreä keltainen musta valkoinen ikkuna ovi
    huone keittiö puutarha puu kukka lintu koira kissa hevonen lammas kani mies nainen lapsi poika
    tyttö isä äiti veli sisko ystävä kevät kesä syksy talvi maanantai tiistai keskiviikko torstai
    perjantai lauantai sunnuntai aina usein koska kun ilman kaksi kolme viisi kahdeksan yhdeksän
    syödä juoda nukkua puhua laulaa tanssia työskennellä ajatella suu käsi jalka musiikki matka
    vuori ranta hyvä viini kenkä sade avain ongelma lamppu pumppu ehkä pöytä yö löyly työpöytä
    kampa hampaat ompelu tumma vamma pappi apua lupa sopimus pimeä metsä mökki sampo""",
    "ca": """jo tu nosaltres bon dia gràcies casa poma pera pa mantega formatge llet aigua cafè
    sucre petit gran bonic vermell blau verd groc negre blanc finestra porta cambra cuina jardí
    arbre flor ocell gos gat cavall ovella conill home dona nen nena pare mare germà germana amic
    primavera estiu tardor hivern dilluns dimarts dimecres dijous divendres dissabte diumenge
    sempre mai sovint perquè mentre des amb sense dos tres cinc vuit nou vint menjar beure dormir
    parlar cantar ballar treballar pensar venir poder boca braç cama peu música viatge muntanya
    platja camp bo vi sabata pluja clau problema llum bomba ampolla pebre palla setmana poble
    també plom xocolata metge fulla junta""",
}
"""By the code that espeak-ng knows the language by."""

_SMALL: Final = (2, 99)
_ENDINGS: Final = (".", ".", ".", ".", "?", "!")


def english(seed: str, pool: Pool) -> str:
    """One sentence; the same for the same `seed` and `pool`."""
    rng = random.Random(f"{pool} {seed}")
    pick = _picker(rng, pool)
    draw: dict[str, Callable[[], str]] = {
        "n": lambda: pick(NOUNS),
        "v": lambda: pick(VERBS),
        "a": lambda: pick(ADJECTIVES),
        "d": lambda: pick(ADVERBS),
        "N": lambda: pick(NAMES),
        "p": lambda: pick(PLACES),
        "h": lambda: pick(PHRASES),
        "x": lambda: str(rng.randint(*_SMALL)),
    }
    parts = rng.choice(ENGLISH).split("{")
    text = parts[0] + "".join(draw[part[0]]() + part[2:] for part in parts[1:])
    return text[0].upper() + text[1:]


def foreign(language: str, seed: str) -> str:
    """A row of 4 to 9 words of `language`, sometimes with a comma or a number in it."""
    rng = random.Random(f"{language} {seed}")
    words = rng.sample(FOREIGN[language].split(), rng.randint(4, 9))
    if len(words) > 5 and rng.random() < 0.5:
        words[len(words) // 2] += ","
    if rng.random() < 0.15:
        words.insert(rng.randrange(1, len(words)), str(rng.randint(*_SMALL)))
    return " ".join(words).capitalize() + rng.choice(_ENDINGS)


def _picker(rng: random.Random, pool: Pool) -> Callable[[str], str]:
    def pick(words: str) -> str:
        kind = sorted(
            {
                " ".join(word.split())
                for word in (words.split("|") if "|" in words else words.split())
            }
            - {""}
        )
        unseen = kind[UNSEEN - 1 :: UNSEEN]
        return rng.choice(unseen if pool == "unseen" else [w for w in kind if w not in unseen])

    return pick
