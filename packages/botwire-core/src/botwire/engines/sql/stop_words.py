"""Function words by language, and English words with irregular forms.

The words are folded as `words` folds them: no case, no accents. A contraction is two words.
"""

from __future__ import annotations

STOP_WORDS = {
    language: frozenset(text.split())
    for language, text in {
        "english": """
            a about above after again against all also am an and any are as at be because been
            before being below between both but by can could d did didn do does doesn doing don
            down during each few for from further had hadn has hasn have haven having he her here
            hers herself him himself his how i if in into is isn it its itself just kind ll long m
            many me more most much my myself no nor not now of off often on once only or other our
            ours ourselves out over own re s same she should so some such t than that the their
            theirs them themselves then there these they this those through to too type under
            until up ve very was wasn we were weren what when where which while who whom whose why
            will with won would you your yours yourself yourselves""",
        "german": """
            aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis da damit
            dann das dass dein deine dem den denn der des dessen dich die dies diese diesem diesen
            dieser dieses dir doch dort du durch ein eine einem einen einer eines er es euch euer
            fur habe haben hat hatte hier ich ihm ihn ihnen ihr ihre im in ins ist ja jede jeder
            kann kein keine konnen machen man mein meine mich mir mit nach nein nicht noch nun nur
            ob oder ohne sehr sein seine seit sich sie sind so um und uns unser unter vom von vor
            wann war waren warum was weil welche welcher welches wem wen wenn wer werden wie wieder
            wir wird wo wurde zu zum zur zwischen uber""",
        "french": """
            ai au aussi aux avait avec avez avons ce cela ces cet cette chez comme d dans de des du
            elle elles en est et etait ete etre eu eux fait il ils j je l la le les leur leurs lui
            ma mais me meme mes moi mon n ne nos notre nous on ont ou par pas plus pour qu quand
            que quel quelle quelles quels qui quoi sa sans se sera ses si son sont sur ta te tes
            toi ton tu un une vos votre vous y a c s t combien pourquoi""",
        "spanish": """
            al algo antes como con cual cuales cuando cuanto de del desde donde durante e el ella
            ellas ellos en entre era eran es esa ese eso esta estaba estan estas este esto estos
            fue fueron ha han hasta hay la las le les lo los mas me mi mis mucho muy nada ni no nos
            nosotros o os otra otro para pero por porque que quien quienes se ser si sin sobre son
            su sus te tiene tu tus un una uno unos y ya yo""",
        "portuguese": """
            ao aos as ate com como da das de dele dela depois do dos e ela elas ele eles em entre
            era essa esse esta este eu foi foram ha isso isto ja lhe mais mas me mesmo meu minha
            muito na nao nas nem no nos nossa nosso num numa o onde os ou para pela pelo por porque
            qual quando que quem sao se sem ser seu sua tambem te tem um uma voce voces""",
        "italian": """
            agli ai al alla alle anche c che chi ci come con cosa cui da dal dalla dei degli del
            della delle di dove e ed era essere fa gli ha hanno ho i il in io l la le lei lo loro
            lui ma mi mia mio ne nei nel nella non o per perche piu quale quali quando quanto
            quella quello questa questo se sei si sia sono sta su sua sul sulla suo ti tra tu un
            una uno vi voi""",
        "dutch": """
            aan al als ben bij daar dan dat de der deze die dit doen door dus een en er ge geen had
            hadden heb hebben heeft hem het hier hij hoe hun ik in is ja je kan kon maar me meer
            met mij mijn na naar niet nog nu of om omdat ons ook op over te tot u uit van veel voor
            waar waarom wanneer want waren was wat we wel welke werd wie wij wil worden zal ze zich
            zij zijn zo zonder zou""",
        "swedish": """
            alla att av de dem den denna deras dess det detta dig din dina ditt du efter ej eller
            en ett for fran han hans har hon honom hur i inte jag kan kunde man med men mig min
            mitt mot mycket nar nagon nagot och om oss pa sa sig sin sitt ska som till under upp
            ut utan vad var varfor vara vem vi vid vilken ar over""",
        "danish": """
            af alle at blev da de dem den denne der deres det dette dig din disse dog du efter
            eller en er et for fra ham han hans har havde hende her hun hvad hvem hvilken hvis
            hvor hvordan hvorfor hvornar i ikke ind jeg jo kan man mange med meget men mig min mit
            mod ned noget nogle nu nar og ogsa om op os over pa sa sig sin skal som til ud under
            var vi vil ville""",
        "polish": """
            a aby ale bardzo bez byl byla bylo byc co czy dla do gdy gdzie go i ich ile jak jaka
            jaki jakie jako je jego jej jest jestem juz kiedy kto ktora ktore ktory ma mi mnie moja
            moj mu my na nam nas nie niz o od on ona one oni ono oraz po pod przed przez przy sa
            sie ta tak tam te tego ten to tu ty tym w we wy z za ze""",
        "turkish": """
            ama bana ben beni benim bir biz bu bunu cok da daha de degil diye en gibi hangi icin
            ile ise kac kim mi mu nasil ne neden nerede nicin o olan olarak oldu onu onun sen seni
            senin siz ve veya ya""",
        "russian": """
            а без более бы был была были было быть в вам вас весь во вот все всех вы где да для до
            его ее если есть еще же за здесь и из или им их к как какая какие какои ко когда кто
            ли мне мои моя мы на над нас не него нет ни них но ну о об он она они оно от по под
            почему при с со так также там то того тоже тои только том ты у уже чем что чтобы эта
            эти это этои этот я""",
    }.items()
}

_FORMS = """
be am is are was were been being|go goes went gone|buy bought|bring brought|think thought
teach taught|catch caught|fight fought|seek sought|feel felt|keep kept|leave left|meet met
lose lost|make made|say said|pay paid|sell sold|tell told|send sent|spend spent|build built
lend lent|bend bent|win won|run ran|begin began begun|swim swam swum|sing sang sung
drink drank drunk|ring rang rung|sink sank sunk|give gave given|take took taken
shake shook shaken|forgive forgave forgiven|forget forgot forgotten|get got gotten
choose chose chosen|speak spoke spoken|break broke broken|wake woke woken|steal stole stolen
freeze froze frozen|write wrote written|ride rode ridden|drive drove driven|rise rose risen
eat ate eaten|see saw seen|know knew known|grow grew grown|throw threw thrown|fly flew flown
draw drew drawn|wear wore worn|tear tore torn|swear swore sworn|find found|hold held|hear heard
stand stood|understand understood|sit sat|sleep slept|sweep swept|deal dealt|dream dreamt
learn learnt|hide hid hidden|bite bit bitten|fall fell fallen|become became|come came
overcome overcame|show shown|do does did done|have has had|child children|man men|woman women
foot feet|tooth teeth|goose geese|mouse mice|person people|life lives|wife wives|knife knives
leaf leaves|shelf shelves|half halves|wolf wolves|lead led|feed fed|shoot shot|strike struck
stick stuck|dig dug|hang hung|swing swung|spin spun|slide slid|good better best|bad worse worst
"""

IRREGULAR = {
    form: tuple(group.split())
    for group in _FORMS.replace("\n", "|").split("|")
    for form in group.split()
}
"""All forms of an English word, by each of the forms; the first is the one in a dictionary."""
