import "@c15t/react/styles.css";
import { ConsentBanner, ConsentDialog, ConsentManagerProvider } from "@c15t/react";
import { createRoot } from "react-dom/client";

const options = {
  mode: "offline",
  overrides: { country: "FR", language: "fr" },
  consentCategories: ["necessary", "measurement", "experience", "marketing"],
  i18n: {
    locale: "fr", detectBrowserLanguage: false,
    messages: { fr: {
      common: { acceptAll: "Tout accepter", rejectAll: "Tout refuser", customize: "Paramétrer vos choix", save: "Enregistrer" },
      cookieBanner: {
        title: "Vos choix",
        description: "Ce site utilise des cookies pour mesurer son audience, pour les réseaux sociaux et pour la publicité.",
      },
      consentManagerDialog: { title: "Vos choix", description: "Choisissez ce que vous autorisez." },
      consentTypes: {
        necessary: { title: "Nécessaires", description: "Sans eux, le site ne marche pas." },
        measurement: { title: "Mesure d'audience", description: "Compter les visites." },
        experience: { title: "Réseaux sociaux", description: "Partager et commenter." },
        marketing: { title: "Publicité", description: "Choisir des annonces." },
      },
    } },
  },
};
createRoot(document.getElementById("consent-root")).render(
  <ConsentManagerProvider options={options}><ConsentBanner /><ConsentDialog /></ConsentManagerProvider>,
);
