/** English for the library's Italian and French titles, as `cleanTitle` leaves them. Our own translations. */
const TABLE = `
armadillo=armadillo|acquila=eagle|aquila frontale=eagle from the front|cigni bianchi e neri=white and black swans
cigno=swan|cigno di notte nella palude=swan at night in the swamp|cigno di spalle=swan from behind|gabbiano=seagull
gallo di profilo=rooster|gufo civetta=owl|pollo=chicken|simbolo egizio=Egyptian symbol|stormo di uccelli=flock of birds
tacchino=turkey|uccello bianco e nero=black and white bird|uccello profilo=bird|cavalletta=grasshopper
coccinella=ladybug|coccinella rollandin=ladybug|coccinellona=big ladybug|farfalla butterfly=butterfly
farfalla contorno=outline of a butterfly|farfalla semplice=butterfly|farfalla stilizzata=stylised butterfly
formichina=little ant|formicona=big ant|insetto=insect|libellula=dragonfly|lumaca=snail|lumaca turbo=fast snail
mantide religiosa=praying mantis|moschito=mosquito|moschito stecchito=dead mosquito|mostriciattolo=little monster
quattro farfalle=four butterflies|ragnetto incazzato=angry little spider|ragno figo=cool spider|zanzara=mosquito
zanzara cretina=silly mosquito|cani e gatti , cat and dog=cat and dog|dino=dinosaur|dinosauri=dinosaurs
dinosauro=dinosaur|paesaggio marino=seascape|pescetto arancione=little orange fish|lucchetto grigio=grey padlock
lucchetto ottone=brass padlock|lucertola=lizard|lucertola arrotolata=curled lizard|lucertola maya=Mayan lizard
lucertolona=big lizard|lucertolone=big lizard|antilope=antelope|orso=bear|leone=lion|tigre=tiger|canguro=kangaroo
coniglio=rabbit|elefante=elephant|cavallo=horse|gattina cat=kitten|gatto cat=cat|gatto nero=black cat
le mie tigri preferite=tigers|pecora=sheep|rhinoceros 3d=rhinoceros|rhinoceros=rhinoceros
stambecco valdostano=ibex|topo=mouse|toro al tramonto=bull at sunset|vacca pezzata rossa valdostana=spotted cow
pinguino col piccolo=penguin with its chick|ramarro=green lizard|rana=frog|tante orme sulla neve=footprints in the snow
tatoo tatuaggio tatuaggi=tattoo|capitello modanatura modanature moulure moulures=capital of a column
demolizione costruzione=demolition|mobile=cupboard|poltrona ufficio=office chair|sedia e ombrelloni=chair and parasols
sedia in legno=wooden chair|tavolo in legno=wooden table|abitazione villa con giardino=villa with garden
casa dei sogni=dream house|casa in campagna=house in the country|casa plurifamigliare=apartment house
casa verde=green house|chalet di montagna architetto francesco rollandin=mountain chalet|cubo giallo=yellow cube
cubo rosso=red cube|cubo verde=green cube|pulsante=button|tasto=button|finestra=window|floppy=floppy disk
floppy disk=floppy disk|schermo macintosh=computer screen|stampante=printer|unita disco rigido=hard disk
foglio e mondo=sheet of paper and globe|salvagente=life belt|borsa estiva=summer bag|cesto=basket
valigie bags=suitcases|decorazione=decoration|motivo geometrico=geometric pattern|casco con microfono=headset
bibliografia francesco rollandin=books|libro di ricette di cucina italiana w italia=cookbook
cassette video=video cassettes|cinepresa=film camera|macchina fotografica digitale=digital camera
telecamera=video camera|bottiglia di vino pregiato=bottle of wine|noi due insieme brindisi calici=toast with two glasses
ontologia del vino=wine|lattine di birra=beer cans|macchina caffe=coffee maker|tazza di caffe=cup of coffee
teiera tazza=teapot and cup|come si dispongono le posate=table setting|gelato all'italiana=ice cream|torta=cake
la prugna=plum|pera=pear|pesca=peach|fuoco da campeggio=campfire|mix cucina, frullatore=blender
pizza 4 stagioni=pizza|pomodori=tomatoes|aglio=garlic|pannocchia di gran turco=corn cob|peperoncino pepper=chilli pepper
ravanello=radish|zucca=pumpkin|europe=map of Europe|appunti=notes|calcolatrice=calculator|carta=paper
cartella dossier directory=folder|cassa d'epoca=old cash register|cassa negozio=cash register|cestino pieno=full bin
cestino vuoto=empty bin|clessidra=hourglass|clips=paper clips|cup=cup|diagramma=diagram|dossier=folder
fabbrica=factory|istogramma=bar chart|lana=wool|lens, lente=magnifying glass|lettera=letter|papers=papers
pinzatrice rollandin=stapler|puntine=drawing pins|scissors forbici=scissors|scotch rollandin francesco=sticky tape
tabella=table chart|telefono email: frollandin@email.it=telephone|aerobics=aerobics|al bar=at the bar
architetto=architect|ballerina=dancer|dente=tooth|bussiness woman donna in carriera=business woman
camicia in seta=silk shirt|pattino=skate|donna incinta=pregnant woman|fata fatina=fairy|female=woman
fitness=fitness|io bambina=girl|io donna uomo=woman and man|nonno sport=grandfather doing sport
pattinatrice=skater|pattinatrici sul ghiaccio=ice skaters|signore=gentleman|signorina=young lady|sport=sport
sub subacqueo=diver|utente singolo=user|utenti=users|yoga=yoga|albero=tree|mazzo di fiori=bunch of flowers
human, humain, umano seduto=sitting person|asso carte=ace|pacco regalo=gift|palloncini=balloons|anelli=rings
sport aerobica=aerobics|sport stacco=weightlifting|televisore telecomando=television and remote control|mondo=globe
esperimento chimico=chemistry experiment|barattolo di pillole=jar of pills|medicina dottore=doctor|siringa=syringe
microscopio=microscope|provetta plasma sangue=test tube with blood|forbici e pettine scissors and comb=scissors and comb
puzzle=puzzle|attenzione=warning|attenzione rotondo=warning|orologio da parete=wall clock|portafoglio=wallet
binocolo bn=binoculars|bussola=compass|calamita=magnet|chiave=key|ferro da stiro=iron|viti=screws
forchettoni da grigliata=barbecue forks|lampada di aladino aladin=Aladdin's lamp|lente meno=magnifying glass with minus
lente normale=magnifying glass|livella=spirit level|mattone poroton=brick|ruota dentata=gear wheel
ruota dentata grigia=grey gear wheel|scolapasta e pentola=colander and pot|secchio e spugna=bucket and sponge
utensile sega=saw|utensili chiave e cacciavite=wrench and screwdriver|pallone aerestatico=hot air balloon
bicicletta cycle=bicycle|trattore=tractor
telephone lutte incendie=fire telephone sign|telephone sauvetage=rescue telephone sign|direction à suivre=direction sign
bandemarquagesecurite=safety stripes|bassetemperature=low temperature warning|dangerelectrique=electric shock warning
champmagnetiqueimportant=magnetic field warning|chargessuspendues=suspended load warning
chutedenivellation=drop warning|dangergeneral=general warning|matierescomburantes=oxidising material warning
matierescorrosives=corrosive material warning|matieresexplosives=explosive material warning
matieresinflammables=flammable material warning|matieresnocivesirritantes=harmful material warning
matierestoxiques=toxic material warning|radiationsionisantes=radiation warning|rayonnementlaser=laser warning
radiationsnonionisantes=non-ionising radiation warning|risquebiologique=biohazard warning|trebuchement=tripping warning
vehiculesmanutention=forklift warning|charge lourde=heavy load|civiere=stretcher|comburant=oxidising
corrosif=corrosive|danger général=general warning|danger électrique=electric shock warning
defense de fumer=no smoking|defense eteindre avec eau=do not extinguish with water|douche securite=safety shower
direction a suivre=direction sign|eau non potable=not drinking water|echelle=ladder|entree interdite=no entry
extincteur=fire extinguisher|extremement inflammable=extremely flammable|facilement inflammable=highly flammable
flamme nue interdite=no open flames|high tension danger=high voltage|interdiction pietons=no pedestrians
interdiction vehicules manutention=no forklifts|irritant=irritant|lance a incendie=fire hose
low temperature=low temperature|magnetic field=magnetic field|ne pas toucher=do not touch|nocif=harmful
obligation generale=general mandatory sign|passo carrabile=keep the driveway clear|premiers secours=first aid
protection obligatoire contre les chutes=wear a safety harness|protection obligatoire corps=wear protective clothing
protection obligatoire figure=wear a face shield|protection obligatoire mains=wear gloves
protection obligatoire ouie=wear ear protection|protection obligatoire pieds=wear safety shoes
protection obligatoire pietons=pedestrians this way|protection obligatoire tete=wear a helmet
protection obligatoire voies respiratoires=wear a respirator|protection obligatoire vue=wear eye protection
radiations ionisantes=radiation|radiations non ionisantes=non-ionising radiation|rayonnement laser=laser
rincage yeux=eye wash|risque biologique=biohazard|risque pour l'environnement=dangerous for the environment
security marking=safety stripes|sortie issue de secours=emergency exit|tres toxique=very toxic|triangle=triangle
vehicules manutention=forklift
finestra estendi=window|finestra hz=window|finestra ridimensiona=window|finestre sovrapposte=overlapping windows
finestre vt=windows|pantyhose collant=tights|pantyhose=tights|sport harnsasana=yoga|sport khagarnasana=yoga
sport kzounchasana=yoga|sport mayuzasana=yoga|sport parsva bakasana=yoga|sport garudasana=yoga|sport paksinasana=yoga
nucleare simbolo=nuclear symbol|simbolo emergenza sanitaria=medical emergency symbol|simbolo giapponese=Japanese symbol
stemma comune saint vincent valle d'aosta rollandin francesco=coat of arms|anatra=duck|colombo=pigeon
attaccapanni con vestito da donna=dress on a hanger|condominio=apartment building|cornetto=ice cream cone
martellare=hammering|montacarichi=hoist|pinguino=penguin|pittura con pennello=painting with a brush
simbol medicina=medicine symbol|tacchino di natale=roast turkey|traslocatore=mover|uovo sorridente=smiling egg
ambulanza=ambulance|analisi del sangue=blood test|ape miele=honey bee|asse da stiro=ironing board
betoniera=concrete mixer|biberon=baby bottle|blocco ghiaccio=ice block|blocco notes=notepad|borsetta=handbag
calzettoni=socks|cammello=camel|candela=candle|carpentiere=carpenter|carretta da cantiere=wheelbarrow
caterpillar=bulldozer|ciuccio=pacifier|corridore=runner|elefante in corsa=running elephant|elefantone=big elephant
fattoria=farm|festoni=garlands|fiocco=bow|foglie arancioni=orange leaves|foglie marroni=brown leaves
foglie rosse=red leaves|foglie verdi=green leaves|gabbiano piccolo=small seagull|ghirlande festa=party garlands
giardinaggio=gardening|grattacieli grigi=grey skyscrapers|griglia=grill|grondaia=gutter|guanti e pinze=gloves and pliers
igloo=igloo|imbianchino in piedi=house painter|lampada da cantiere=work lamp|marchio gallina=hen
metro avvolgibile=tape measure|motosega=chainsaw|mucca=cow|orme sulla neve=footprints in the snow|papera=duck
pecorella=little sheep|pennuto=bird|pescetto=little fish|pesistica=weightlifting|pinzatrice grigia=grey stapler
principessa=princess|principessa bn=princess|profilo della citta=city skyline|proiettore=projector|provetta=test tube
provette=test tubes|ragazza bionda=blond girl|ragazza bruna=brown-haired girl|ragazza rossa=red-haired girl
ragazza seduta=sitting girl|ragazzo=boy|rosa=rose|rose=roses|sacco a pelo per campeggio=sleeping bag
sapone liquido=liquid soap|scala doppia=stepladder|scatolone=cardboard box|scodella gatto=cat bowl
sega per legno=wood saw|serratura=lock|set gatti=cats|signorina in viola=young lady in purple
signorinacappello=young lady with a hat|signorinafoulard=young lady with a scarf|spaventapasseri=scarecrow
silouettedonnavestiti=silhouette of a woman|stetoscopio fonendoscopio=stethoscope|striscia agnellini=row of lambs
striscia mucche=row of cows|struzzo=ostrich|tavola esame ottico=eye chart|tavolozza=palette|tramezzino=sandwich
tenda da campeggio=tent|texturelegno=wood texture|trekking in montagna=hiking in the mountains|vestito rosa=pink dress
zaino per montagna=backpack
`;

const ENGLISH = new Map(
  TABLE.trim()
    .split(/[|\n]/)
    .map((entry) => entry.split("=") as [string, string]),
);

/** The English of an Italian or French title, if the table has it. */
export function englishTitle(title: string): string | undefined {
  return ENGLISH.get(title);
}
